export type { HttpSourceOptions } from './requests.ts';
export { HttpSource } from './source.ts';
