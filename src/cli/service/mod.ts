export type { BackedUp, BackUpState, RestoreState } from './archive.ts';
export { type Composed, serviceCommands } from './commands.ts';
export type { Check, Examine } from './doctor.ts';
export { remedyOfRecord } from './record-remedy.ts';
export type { Ask, Recover, Recovered, RecoverOptions } from './recover.ts';
export { describeStatus } from './status.ts';
export type { Serve } from './up.ts';
