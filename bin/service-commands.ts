// The commands of the service, with the concrete parts that `up` runs. A file of its own, loaded on demand.
import type { Command } from 'commander';
import { serviceCommands } from '../src/cli/mod.ts';
import { loadConfiguration } from '../src/config/mod.ts';
import { examine } from './doctor/mod.ts';
import { driverSchemas } from './drivers.ts';
import { serve } from './serve.ts';

const VERSION = '0.1.0';

export function loadCommands(done: (exit: number) => void): readonly Command[] {
  return serviceCommands(done, {
    examine,
    serve: async (file, signal, onReady) => {
      const configuration = await loadConfiguration(file, driverSchemas);
      await serve({ configuration, version: VERSION, signal, onReady });
    },
  });
}
