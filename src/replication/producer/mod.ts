export type { DirectMode, ProducerOptions } from './options.ts';
