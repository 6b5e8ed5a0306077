export { Baseline, type BaselineOptions, type BaselineValues, type Direction } from './baseline.ts';
