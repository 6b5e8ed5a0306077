export { type LoadService, main } from './main.ts';
export { serviceCommands } from './service/mod.ts';
