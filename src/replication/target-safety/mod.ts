export { checkTarget, type TargetFacts, type TargetQuestion } from './check-target.ts';
export type { DiskStamp } from './disk-stamp.ts';
