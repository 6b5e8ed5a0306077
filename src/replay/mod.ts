export { chartOf } from './chart.ts';
export type {
  LabelScore,
  LabelWindow,
  Policy,
  Recording,
  Replay,
  ReplayEvent,
  ReplayScaling,
  ReplayVerdict,
} from './contract.ts';
export { serviceOf } from './installation.ts';
export { parseLabels } from './labels.ts';
export { parsePrometheus } from './prometheus.ts';
export { boundsOf, parseRecording } from './recording.ts';
export { replay } from './replay.ts';
