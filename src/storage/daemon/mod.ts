export type { VolumePlace } from './graph.ts';
export { freeBytesOf, OVERLAY_BYTES_MIN } from './overlay.ts';
export { daemonPaths } from './process.ts';
export { type DaemonMemory, type ServedSnapshot, ServedVolumes } from './served-volumes.ts';
