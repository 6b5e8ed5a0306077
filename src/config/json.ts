/** Anything that JSON can say; a driver's own schema gives it meaning. */
export type JsonRecord = Readonly<Record<string, unknown>>;
