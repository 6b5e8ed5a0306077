// What the system attaches when it starts: fstab(5), crypttab(5), the kernel's command line. Names of devices by hardware differ on
// another host; file systems of the network have two users from now on.
import { clueRule } from '../clue.ts';

const NETWORK = 'nfs4?|cifs|smb3?|smbfs|ceph|glusterfs|fuse\\.(?:glusterfs|ceph|sshfs)|davfs|lustre|beegfs|9p';
const CLUSTER = 'ocfs2|gfs2';
const LINE = String.raw`^\s*(?!#)(\S+\s+\S+\s+`;

export const fileSystemsRule = clueRule('file-systems', [
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
    at: ['/etc/default/grub', '/etc/kernel/cmdline', '/boot/extlinux/extlinux.conf', '/boot/loader/entries/*.conf'],
    lines: /^\s*(?!#).*\b(ip=[^\s"']+:[^\s"']*)/,
    why: 'The kernel gives itself this address before anything else runs.',
    becomes: { action: 'unknown' },
  },
  {
    at: ['/etc/fstab'],
    lines: /^\s*(?!#)((?:UUID|LABEL|PARTUUID|PARTLABEL)=\S+)/,
    why: 'It means the copy on the disk of the clone; no host sees the disk of the other.',
    becomes: { action: 'keep' },
  },
]);
