export type { Director, DirectorServer, Observation, ObservedServer, Traffic } from './contract.ts';
export { type DirectorFault, FakeDirector, type FakeDirectorOptions, type FakeRequest } from './fake/driver.ts';
export { HaproxyDirector, type HaproxyOptions } from './haproxy/driver.ts';
export { haproxyLevel } from './haproxy/runtime-socket.ts';
export { type HaproxySettings, haproxySettings } from './haproxy/settings.ts';
