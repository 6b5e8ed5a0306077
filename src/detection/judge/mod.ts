export { type Condition, type Fact, type Judgement, type SignalPolicy, wayOf } from './contract.ts';
export { Judge } from './judge.ts';
export { isBroken, SignalJudge, type Windows, windowsOf } from './signal-judge.ts';
