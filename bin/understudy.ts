// The command line's entry.
import { errorRegistry } from '../src/base/mod.ts';
import { main } from '../src/cli/mod.ts';

const status = await main(process.argv, {
  service: async () => (await import('./service-commands.ts')).loadCommands,
  agent: async () => (await import('./agent-command.ts')).runAgentCommand,
});
// What was interrupted may have left a program running that nobody waits for any more.
if (status === errorRegistry.INTERRUPTED.exit) process.exit(status);
process.exitCode = status;
