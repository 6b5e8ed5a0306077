export type { Condition, Fact, Judgement, SignalPolicy } from './contract.ts';
export { Judge } from './judge.ts';
export { isBroken, SignalJudge, type Windows, windowsOf } from './signal-judge.ts';
