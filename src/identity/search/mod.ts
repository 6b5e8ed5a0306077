export { coverageOf } from './coverage.ts';
export type { Mention } from './mention.ts';
export { isAsPackaged } from './packages.ts';
export { isHarmless } from './places.ts';
export { type Named, type Survey, surveyBelow, surveyOf } from './survey.ts';
export { isShared, type Value, valuesOf } from './values.ts';
