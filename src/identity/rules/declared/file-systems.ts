// What the system attaches when it starts: fstab(5), crypttab(5), the kernel's command line. Names of devices by hardware differ on
// another host; file systems of the network have two users from now on.
import type { Clue } from '../clue.ts';
import { ruleOfTree } from '../rule-of-tree.ts';
import { hereIn } from './attached.ts';

const NETWORK = 'nfs4?|cifs|smb3?|smbfs|ceph|glusterfs|fuse\\.(?:glusterfs|ceph|sshfs)|davfs|lustre|beegfs|9p';
const CLUSTER = 'ocfs2|gfs2';
const LINE = String.raw`^\s*(?!#)(\S+\s+\S+\s+`;

const CLUES: readonly Clue[] = [
  {
    at: ['/etc/fstab'],
    lines: new RegExp(`${LINE}(?:${NETWORK}))\\s+(?!(?:\\S*,)?ro(?:,|\\s|$))`),
    why: 'Both hosts write it: nobody knows whether the application stands a second one that writes the same files.',
    becomes: { action: 'unknown' },
  },
  {
    at: ['/etc/fstab'],
    lines: new RegExp(`${LINE}(?:${NETWORK}))\\s+(?:\\S*,)?ro(?:,|\\s|$)`),
    why: 'A file system of the network that is only read serves two hosts as it serves one.',
    becomes: { action: 'keep' },
  },
  {
    at: ['/etc/fstab'],
    lines: new RegExp(`${LINE}(?:${CLUSTER}))\\s`),
    why: 'A cluster file system knows its members; the clone is none.',
    becomes: { action: 'unknown' },
  },
  {
    at: ['/etc/fstab'],
    lines: /^\s*(?!#)(\S+\s+\S+)\s+(?!nfs|cifs)\S+\s+\S*\b_netdev\b/,
    why: 'A disk over the network is attached to both hosts. A file system that two hosts write at the same time is lost.',
    becomes: { action: 'unknown' },
  },
  {
    at: ['/etc/fstab', '/etc/crypttab'],
    lines: /^\s*(?!#)(?:\S+\s+)?(\/dev\/disk\/by-(?:id|path)\/\S+)/,
    why: 'It names a disk of the lead by its serial number or its place, which the disk of the clone has not.',
    becomes: { action: 'unknown' },
  },
  {
    at: [
      '/etc/default/grub',
      '/etc/kernel/cmdline',
      '/boot/extlinux/extlinux.conf',
      '/{boot,efi,boot/efi}/loader/entries/*.conf',
    ],
    lines: /^\s*(?!#).*\b(ip=[^\s"']+:[^\s"']*)/,
    why: 'The kernel gives itself this address before anything else runs.',
    becomes: { action: 'unknown' },
  },
];

const NAMED = String.raw`^\s*(?!#)((?:UUID|LABEL|PARTUUID|PARTLABEL)=\S+`;
/** Those by serial number or place are found above. */
const DEVICE = String.raw`\/dev\/(?!disk\/by-(?:id|path)\/)`;
/** Which the kernel numbers as it finds them: another rule has them where hosts differ. */
const NUMBERED = '(?:sd|hd|vd|xvd|nvme|mmcblk)';
const WITHOUT = String.raw`\s+\S+\s+(?:\S*,)?(?:nofail|noauto)\b`;

/** What the disk has is looked into; of what it has not, the clone has nothing. */
function local(here: string, otherHardware: boolean): readonly Clue[] {
  const device = otherHardware ? `${DEVICE}(?!${NUMBERED})` : DEVICE;
  const what = String.raw`^\s*(?!#)((?:(?:UUID|LABEL|PARTUUID|PARTLABEL)=|${device})\S+`;
  const elsewhere = String.raw`\s+(?!(?:${here})\s)\/\S+)(?=\s)`;
  return [
    {
      at: ['/etc/fstab'],
      lines: new RegExp(String.raw`${NAMED})\s+(?:(?:${here})\s|[^/\s])`),
      why: 'It means the copy on the disk of the clone; no host sees the disk of the other.',
      becomes: { action: 'keep' },
    },
    {
      at: ['/etc/fstab'],
      lines: new RegExp(`${what}${elsewhere}(?!${WITHOUT})`),
      why:
        'It is not on this disk, or nothing can look into it. A clone has what was copied with its disk and no more: it may wait for the ' +
        'rest when it starts, and not come up.',
      becomes: { action: 'unknown' },
    },
    {
      at: ['/etc/fstab'],
      lines: new RegExp(`${what}${elsewhere}${WITHOUT}`),
      why: 'It is not on this disk, or nothing can look into it. The system starts without it.',
      becomes: { action: 'keep' },
      confidence: 'likely',
    },
  ];
}

export const fileSystemsRule = ruleOfTree('file-systems', async (tree, { otherHardware }) => [
  ...CLUES,
  ...local(await hereIn(tree), otherHardware === true),
]);
