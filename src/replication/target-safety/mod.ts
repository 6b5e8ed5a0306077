export { checkTarget, type TargetFacts, type TargetQuestion } from './check-target.ts';
