export type {
  Decision,
  PolicyEngagement,
  PolicyEvidence,
  PolicyService,
  PolicyVerdict,
  RateSample,
  ServiceFacts,
  ServingHost,
  Verdict,
} from './contract.ts';
export { carriedRate, decide, RATE_GAP_MS_MAX, verdictOf, worstFirst } from './decide.ts';
export { type Look, Understudies } from './understudies.ts';
