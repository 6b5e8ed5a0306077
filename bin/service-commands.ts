// The commands of the service. A file of its own, loaded on demand; what runs an installation is loaded by those of
// them that do.
import type { Command } from 'commander';
import { serviceCommands } from '../src/cli/mod.ts';

export function loadCommands(done: (exit: number) => void): readonly Command[] {
  return serviceCommands(done, {
    examine: async function* (...asked) {
      yield* (await import('./installation-commands.ts')).examine(...asked);
    },
    serve: async (...asked) => (await import('./installation-commands.ts')).serve(...asked),
    backup: async (...asked) => (await import('./installation-commands.ts')).backup(...asked),
    restore: async (...asked) => (await import('./installation-commands.ts')).restore(...asked),
    recover: async (...asked) => (await import('./installation-commands.ts')).recover(...asked),
  });
}
