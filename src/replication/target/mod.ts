export { diskSequence } from './disk-sequence.ts';
export { isProvisional } from './file-target.ts';
export { sweepTargetLocks } from './lock.ts';
export { partialPath, recordPathForFile } from './provisional-name.ts';
export {
  loadRecord,
  type RecordHead,
  type ResumeRecord,
  recordPathForDevice,
  removeRecord,
  saveRecord,
} from './resume-record.ts';
export type { BlockSpec, FileSpec, ReplacedFile, Target, TargetSpec } from './spec.ts';
export { isResumable, openTarget } from './target.ts';
