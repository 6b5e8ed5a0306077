export { serviceCommands } from './commands.ts';
export { describeStatus } from './status.ts';
export type { Serve } from './up.ts';
