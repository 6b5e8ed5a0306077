export { assert, present } from './assert.ts';
export { breaksProcess } from './broken.ts';
export { type Call, type EpochGate, epochStale, memoryEpochGate } from './call.ts';
export { findTool, requireTool, runTool, spawnBound, type ToolOptions, type ToolResult } from './child.ts';
export { type Clock, systemClock } from './clock.ts';
export { DEFECT_ADVICE, Defect, errorFrom, type ToldError, toldOf } from './defect.ts';
export { diskNumbers, readSysText } from './disk-numbers.ts';
export { endingSignals } from './ending-signals.ts';
export {
  codeOf,
  type ErrorCode,
  EXIT_INTERNAL,
  errnoOf,
  errorRegistry,
  isErrorCode,
  leavesNothingOfUse,
  messageOf,
  type Retry,
  reasonOf,
  resumeHelps,
  UnderstudyError,
  withoutResources,
} from './errors.ts';
export * as limits from './limits.ts';
export { type Log, type LogLevel, type LogRecord, logLevels } from './log.ts';
export { isLoopback } from './loopback.ts';
export { ownFolder } from './own-folder.ts';
export { formatBytes, formatDuration, parseBytes, parseDuration } from './quantity.ts';
export { type Random, seededRandom } from './random.ts';
export { SECRET_BYTES_MAX, secretProblem } from './secret-file.ts';
export { sha256, shortName } from './sha256.ts';
export { shown, shownJson, shownLines, withoutSecrets } from './shown.ts';
export {
  type Entry,
  type Intrusion,
  intrusionOn,
  isOpenToOthers,
  isTrusted,
  linkOfStranger,
  lookAlong,
  plantedLink,
  type Way,
} from './trust.ts';
export { Turns } from './turns.ts';
export { type TimeLimit, withinTime } from './within-time.ts';
