export type { Answer, NetworkProbe, ServiceCheck } from './contract.ts';
