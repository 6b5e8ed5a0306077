export { Baseline, type BaselineOptions, type BaselineValues, type Direction } from './baseline.ts';
export { type BaselineMemory, parseBaselineMemory } from './memory.ts';
