export { copies, type RunningConsumer, type RunningCopy } from './copies.ts';
export { copy } from './copy.ts';
export { notCopied } from './crew.ts';
export type { CopyOptions, CopyProgress, CopyResult, TargetProgress } from './options.ts';
