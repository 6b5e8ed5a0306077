export type { PowerDriver, PowerState } from './contract.ts';
