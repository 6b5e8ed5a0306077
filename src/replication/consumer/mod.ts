export { type ConsumerTask, Control, type Extent, emptyResult, type TargetResult } from './options.ts';
export { createStoredDigest, publishStoredDigest } from './stored-digest.ts';
