export { type GptPlace, type GptPlan, type GptPolicy, type Piece, planGpt } from './plan.ts';
