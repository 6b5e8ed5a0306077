export { type Loaders, main } from './main.ts';
export { type Check, type Examine, serviceCommands } from './service/mod.ts';
