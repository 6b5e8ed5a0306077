export type { Director, DirectorServer, Observation, ObservedServer, Traffic } from './contract.ts';
