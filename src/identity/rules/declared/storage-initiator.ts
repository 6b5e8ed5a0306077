// By what name storage networks know a host: iSCSI initiators (iscsid(8), RFC 7143 4.2.7) and NVMe hosts; and what it attaches.

import { clueRule } from '../clue.ts';
import type { ChangeContext } from '../contract.ts';
import { deriveId, deriveUuid } from '../derive.ts';

const WHY = 'A target takes two initiators of one name for one that comes back, and ends the session of the first.';

/** The part that a naming authority vouches for stays; what is after its last colon is the host's own. */
function nameFor(value: string, { understudy }: ChangeContext): string {
  const own = deriveId(value, understudy).slice(0, 12);
  const colon = value.lastIndexOf(':');
  return colon < 0 ? `${value}:${own}` : `${value.slice(0, colon)}:${own}`;
}

export const storageInitiatorRule = clueRule('storage-initiator', [
  {
    at: ['/etc/iscsi/initiatorname.iscsi'],
    lines: /^\s*InitiatorName\s*=\s*(\S+)/,
    why: WHY,
    becomes: { action: 'rewrite', to: nameFor },
  },
  {
    at: ['/etc/nvme/hostnqn'],
    lines: /^(nqn\.\S+)/,
    why: WHY,
    becomes: {
      action: 'rewrite',
      to: (value, { understudy }) =>
        value.replace(/[^:]*$/, `uuid:${deriveUuid(value, understudy)}`).replace('uuid:uuid:', 'uuid:'),
    },
  },
  {
    at: ['/etc/nvme/hostid'],
    lines: /^([0-9a-fA-F-]{32,36})\s*$/,
    why: WHY,
    becomes: { action: 'rewrite', to: (value, { understudy }) => deriveUuid(value, understudy) },
  },
  {
    at: ['/etc/iscsi/nodes/*/*/*', '/var/lib/iscsi/nodes/*/*/*'],
    lines: /^\s*node\.startup\s*=\s*(automatic|onboot)/,
    why: 'It is attached at every start. A file system that two hosts write at the same time is lost.',
    becomes: { action: 'unknown' },
  },
]);
