export { type Composed, serviceCommands } from './commands.ts';
export type { Check, Examine } from './doctor.ts';
export { describeStatus } from './status.ts';
export type { Serve } from './up.ts';
