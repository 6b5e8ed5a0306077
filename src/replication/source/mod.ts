export { currentFingerprint } from './fingerprint.ts';
export type { SourceFormat } from './format.ts';
export { asInherited, type HeldSource, holdSource } from './hold.ts';
export { type IdentifiedSource, identifySource, type SourceOptions } from './identify.ts';
export { type OpenOptions, openPrepared } from './open.ts';
export { type PreparedSource, prepareSource, type SourceDescriptor } from './prepare.ts';
