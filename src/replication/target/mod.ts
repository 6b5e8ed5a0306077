export { diskSequence } from './disk-sequence.ts';

export { sweepTargetLocks } from './lock.ts';
export { isProvisional } from './provisional-file.ts';
export { partialPath, recordPathForFile } from './provisional-name.ts';
export { type RecordPlace, recordAt, recordOfFile } from './record-place.ts';
export {
  loadRecord,
  type RecordHead,
  type ResumeRecord,
  removeRecord,
  saveRecord,
} from './resume-record.ts';
export type { BlockSpec, FileSpec, ReplacedFile, Target, TargetSpec } from './spec.ts';
export { isResumable, openTarget } from './target.ts';
export { type FolderFacts, TargetFolder } from './target-folder.ts';
