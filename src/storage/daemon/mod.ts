export { StorageDaemon } from './daemon.ts';
export type { VolumePlace } from './graph.ts';
export { freeBytesOf, OVERLAY_BYTES_MIN } from './overlay.ts';
export { type DaemonPaths, daemonPaths, daemonsOf, endDaemon, INHERITED_FILE, volumesSocket } from './process.ts';
export { type DaemonMemory, type ServedPlace, type ServedSnapshot, ServedVolumes } from './served-volumes.ts';
