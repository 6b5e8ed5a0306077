export type { HostModel, ScalingStep, SimulationResult } from './contract.ts';
export { simulate } from './hosts.ts';
export { ownScaler, signalsOf } from './own.ts';
export { horizontalPodAutoscaler, targetTracking } from './rivals.ts';
export { type Trace, traceRates, traces } from './traces.ts';
