export type { Detector, Evidence, Finding, Objective, Sample, Verdict, WindowValues } from './contract.ts';
export { COVERAGE_MIN, createDetector, HOLD_SHARE, RECOVERY, SAMPLES_MAX } from './detector.ts';
