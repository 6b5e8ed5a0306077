export { NEVER } from './manager.ts';
export { programsOfUnit, systemdStarts } from './systemd.ts';
export { userStarts } from './user-managers.ts';
