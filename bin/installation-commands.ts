// What an installation as a whole takes, with its concrete drivers: `up` and `doctor`. A file of its own, loaded on
// demand.
import type { Serve } from '../src/cli/mod.ts';
import { loadWritten } from '../src/config/mod.ts';
import { driverSchemas } from './drivers.ts';
import { serve as serveConfiguration } from './serve.ts';

export { examine } from './doctor/mod.ts';
export { recover } from './recover.ts';
export { backup, restore } from './state-archive.ts';

const VERSION = '0.1.0';

export const serve: Serve = async (file, signal, events) => {
  const written = await loadWritten(file, driverSchemas);
  await serveConfiguration({ written, version: VERSION, signal, ...events });
};
