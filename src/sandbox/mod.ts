export { ControlGroup, type GroupLimits } from './control-group.ts';
export { giveTo, OWN_USER } from './own-user.ts';
export { Reader, type ReaderImage, type ReaderOptions } from './reader.ts';
export { filterOf } from './refused-calls.ts';
export { type Trial, trialReader } from './trial.ts';
export { usageOf, watchOver } from './watch.ts';
