export {
  Baseline,
  type BaselineMemory,
  type BaselineOptions,
  type BaselineValues,
  type Direction,
  parseBaselineMemory,
} from './baseline/mod.ts';
export type { Detector, Evidence, Finding, Objective, Sample, Verdict, WindowValues } from './contract.ts';
export { COVERAGE_MIN, createDetector, HOLD_SHARE, RECOVERY, SAMPLES_MAX } from './detector.ts';
export { percent, shown } from './evidence.ts';
export * from './judge/mod.ts';
