export { type Contents, contentsText, judgeContents, judgeFile, LOOK_BYTES, parseContents } from './contents.ts';
export { currentFingerprint, isAsBefore } from './fingerprint.ts';
export type { SourceFormat } from './format.ts';
export { asInherited, type HeldSource, holdSource } from './hold.ts';
export { type IdentifiedSource, identifySource, type SourceOptions } from './identify.ts';
export { type OpenOptions, openPrepared } from './open.ts';
export { prepareSource } from './prepare.ts';
export type { PreparedSource, SourceDescriptor } from './prepared.ts';
export { hasSeveralFiles } from './several-files.ts';
