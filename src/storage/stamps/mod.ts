export { described, disagreement, type Evidence, sameState } from './agreement.ts';
export type { BackupHeader, Floor, FoundBackup, Stamp, Texts, VolumeState } from './contract.ts';
export { diskKey } from './disk-key.ts';
export { headerFlaw } from './flaws.ts';
export { stampsAt, textsIn } from './folder.ts';
export { gateAboveFloor } from './gate.ts';
export { parseHeader, type ReadStamp, Stamps, sequenceOf } from './stamps.ts';
export type { TextFolder } from './text-folder.ts';
