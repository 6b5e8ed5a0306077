// What the system attaches when it starts: fstab(5), crypttab(5), the kernel's command line. Names of devices by
// hardware differ on another host; file systems of the network have two users from now on.
import type { FileTree } from '../../tree/mod.ts';
import type { Clue } from '../clue.ts';
import type { Rule } from '../contract.ts';
import { finding } from '../finding.ts';
import { ruleOfTree } from '../rule-of-tree.ts';
import { fstabLines, isDispensable } from './fstab.ts';

const RULE = 'file-systems';

const NETWORK = 'nfs4?|cifs|smb3?|smbfs|ceph|glusterfs|fuse\\.(?:glusterfs|ceph|sshfs)|davfs|lustre|beegfs|9p';
const CLUSTER = 'ocfs2|gfs2';
const LINE = String.raw`^\s*(?!#)(\S+\s+\S+\s+`;

const CLUES: readonly Clue[] = [
  {
    at: ['/etc/fstab'],
    lines: new RegExp(`${LINE}(?:${NETWORK}))\\s+(?!(?:\\S*,)?ro(?:,|\\s|$))`),
    why: 'Both hosts write it, and the application may not stand a second one that writes the same files.',
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

const NAMED = /^\s*(?!#)((?:UUID|LABEL|PARTUUID|PARTLABEL)=\S+)/;
const MOUNT = /^\s*(?!#)(\S+\s+\/\S*)\s/;
const SWAP = /^\s*(?!#)((?:\S+=|\/dev\/)\S+)\s+\S+\s+swap\s/;
/** They are found above. */
const BY_PLACE = /^\s*\/dev\/disk\/by-(?:id|path)\//;
/** Which the kernel numbers as it finds them: another rule has them where hosts differ. */
const NUMBERED = /^\s*\/dev\/(?:sd|hd|vd|xvd|nvme|mmcblk)[a-z0-9]+\s/;
const ABSENT =
  'It is not on this disk, or nothing can look into it. A clone has what was copied with its disk and no more: it may wait for the rest ' +
  'when it starts, and not come up; and what it does come up with was not looked into.';
const DISPENSABLE = 'It is not on this disk. The system starts without it.';
const SWAP_ABSENT =
  'It is not on this disk. The clone waits for it when it starts, a minute and a half, and goes on without.';
const UNREAD = 'Nothing of the system mounts it, or nothing can read it; so nothing was looked for in it.';

/** What the disk has is looked into; of what it has not, the clone has nothing. */
function local(tree: FileTree, otherHardware: boolean): readonly Clue[] {
  const { isHere, isElsewhere } = fstabLines(tree);
  const at = ['/etc/fstab'];
  const isOthers = (line: string): boolean => BY_PLACE.test(line) || (otherHardware && NUMBERED.test(line));
  const isAbsent = (line: string): boolean => isElsewhere(line) && !isOthers(line);
  // With something on the disk that nobody could look into, it may be just that.
  const isFine = (line: string): boolean => isDispensable(line) && tree.disk.unread.length === 0;
  const likely = { becomes: { action: 'keep' }, confidence: 'likely' } as const;
  return [
    {
      at,
      lines: NAMED,
      only: isHere,
      why: 'It means the copy on the disk of the clone; no host sees the disk of the other.',
      becomes: { action: 'keep' },
    },
    { at, lines: MOUNT, only: (line) => isAbsent(line) && !isFine(line), why: ABSENT, becomes: { action: 'unknown' } },
    { at, lines: MOUNT, only: (line) => isAbsent(line) && isFine(line), why: DISPENSABLE, ...likely },
    { at, lines: SWAP, only: (line) => !isHere(line) && !isOthers(line), why: SWAP_ABSENT, ...likely },
  ];
}

const lines = ruleOfTree(RULE, (tree, { otherHardware }) => [...CLUES, ...local(tree, otherHardware === true)]);

export const fileSystemsRule: Rule = {
  ...lines,
  async find(tree, context) {
    const unread = tree.disk.unread.map(({ text: value }) =>
      finding({ rule: RULE, path: '/', value, why: UNREAD, action: 'keep', confidence: 'likely' }),
    );
    return [...(await lines.find(tree, context)), ...unread];
  },
};
