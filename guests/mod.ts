export { buildGuests, GUEST_APPEND, GUEST_MEMORY_MIB, type GuestOptions, type Guests } from './build.ts';
export { cacheFolder, inWorkFolder, oneAtATime } from './cache-folder.ts';
export { type DebianRequest, type Report, unpackDebian } from './debian.ts';
export { GATEWAY, type GuestIdentity, identityFiles, LEAD, SPARE } from './identity.ts';
export { Lan, type LanHost, type LanOptions, onLan } from './lan.ts';
export { buildPet, type Pet } from './pet.ts';
export { type AgentOfGuest, copySparsely, type Entry, makeVolume, readFromImage, writeIntoImage } from './volume.ts';
