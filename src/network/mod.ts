export type { Answer, NetworkProbe, ServiceCheck } from './contract.ts';
export { FakeNetwork, type FakeNetworkOptions, type FakeStation } from './fake/driver.ts';
export { LocalNetwork } from './local/driver.ts';
