export { type ConsumerTask, Control, type Extent, type TargetResult } from './options.ts';
