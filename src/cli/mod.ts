export { type Loaders, main } from './main.ts';
export { type Check, type Examine, type Serve, serviceCommands } from './service/mod.ts';
