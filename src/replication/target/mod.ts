export {
  loadRecord,
  type RecordHead,
  type ResumeRecord,
  recordPathForDevice,
  removeRecord,
  saveRecord,
} from './resume-record.ts';
export { openTarget, partialPath, sweepTargetLocks, type Target, type TargetSpec } from './target.ts';
