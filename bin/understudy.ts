#!/usr/bin/env node
// The command line's entry.
import { main } from '../src/cli/mod.ts';

process.exitCode = await main(process.argv, {
  service: async () => (await import('./service-commands.ts')).loadCommands,
  agent: async () => (await import('./agent-command.ts')).runAgentCommand,
});
