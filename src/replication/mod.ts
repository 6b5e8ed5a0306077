// The copy engine: one source, many targets, asked for at any time, read once.
export { UnderstudyError } from '../base/mod.ts';
export {
  type CopyOptions,
  type CopyProgress,
  type CopyResult,
  copies,
  copy,
  notCopied,
  type RunningConsumer,
  type RunningCopy,
  type TargetProgress,
} from './carousel/mod.ts';
export type { TargetResult } from './consumer/mod.ts';
export type { ExtentRequest } from './extent/mod.ts';
export { checkTarget, type TargetFacts } from './target-safety/mod.ts';
