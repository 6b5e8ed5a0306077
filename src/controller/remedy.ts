// What somebody can do about an error that ended an engagement, or holds it up: the message says what happened, this
// what to do. In no case anything is to be done for the lead, which was not touched, nor for the spare's own data,
// which come back by themselves.
import { DEFECT_ADVICE, type ErrorCode } from '../base/mod.ts';

const remedies: Partial<Record<ErrorCode | 'INTERNAL', string>> = {
  STORAGE_SPACE: 'give what the message asks for (room in storage.folder, or a higher storage.overlayMax)',
  STORAGE_FAILED: 'see to the storage node and its disks',
  VOLUME_UNKNOWN: 'correct the volumes of understudy.yaml, and start the controller again',
  VOLUME_ATTACHED: 'see who uses the volume',
  VOLUME_BUSY: 'wait until the other operation is over',
  VOLUME_STATE: 'take another spare; this one is free again when its own data are back',
  SOURCE_READ_FAILED: 'see to the disk of the volume that cannot be read',
  TARGET_WRITE_FAILED: 'see to the disk of the spare, or take another spare',
  VERIFY_MISMATCH: 'see to the disk that did not keep what was written, or take another spare',
  DIGEST_MISMATCH:
    'see to the disk that did not keep what was written; the backup is kept until the spare has its data',
  IMAGE_UNSUPPORTED: "this lead's disk cannot be given another identity; take it out of its service",
  IMAGE_DAMAGED: 'have the lead check its file system (fsck)',
  IDENTITY_UNKNOWN: 'decide what it means twice, and name rule and path in acceptUnknown of the service',
  IDENTITY_UNVERIFIED: 'the replica was not started; look for what still names the lead, and change it there',
  IDENTITY_FAILED: 'see to the disk of the spare',
  POWER_FAILED: 'see to the relay of the host: its address, user, password and rights',
  POWER_TIMEOUT: 'see why the host keeps its power, switch it off by hand, or raise timeouts.off',
  POWER_UNKNOWN: 'see why the relay of the host does not answer',
  DIRECTOR_FAILED: 'see to the director, its socket and its backends',
  DIRECTOR_TIMEOUT: 'see why the director does not answer',
  NETWORK_FAILED: 'see that the link of the host in understudy.yaml is there on this machine, and up',
  ADDRESS_IN_USE: 'find the computer with that hardware address and take the address from it',
  PROVE_FAILED: 'look at what the understudy says on its console, and at check and timeouts.boot of the service',
  CALL_TIMEOUT: 'see why that part does not answer, or raise timeouts.call or timeouts.copy',
  ENGAGEMENT_REFUSED: 'change what stands in the way, or take another spare',
  CONFIG_UNREADABLE: 'make the file readable for the controller, and for nobody else',
  TOOL_MISSING: 'install what is missing ("understudy doctor" lists it)',
  RECORD_UNUSABLE: 'see "understudy records", which shows the record and can remove it',
  INTERNAL: `${DEFECT_ADVICE}, and with the lines of "understudy up" about it, which have the stack`,
};

/** @param goesOn whether the phase is tried again by itself, as the way down always is */
export function remedyOf(code: ErrorCode | 'INTERNAL', goesOn: boolean): string {
  if (code === 'TRIES_EXHAUSTED') return exhaustedRemedy(goesOn);
  const what = remedies[code] ?? 'docs/errors.md says more of it; change what is in the way';
  return `${what}; ${goesOn ? 'it is tried again by itself' : 'then ask for the understudy again'}`;
}

/** @param held it is on its way down, and waits */
function exhaustedRemedy(held: boolean): string {
  const what = 'see in the log of the controller why it ended, and report it';
  if (!held) return `${what}; then ask for the understudy again`;
  return `${what}; "understudy dismiss" has it tried again, and with --force ends the engagement without that step`;
}
