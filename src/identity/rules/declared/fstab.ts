// Lines of fstab(5), by what of them is on the disk and so was looked into.
import { fstabFields } from '../../fstab-line.ts';
import type { FileTree } from '../../tree/mod.ts';

/** Nothing of a disk of this host. */
const PSEUDO = new Set(
  (
    'proc sysfs tmpfs ramfs devtmpfs devpts cgroup cgroup2 debugfs tracefs securityfs configfs fusectl hugetlbfs mqueue binfmt_misc bpf ' +
    'pstore efivarfs rpc_pipefs nfsd overlay autofs none'
  ).split(' '),
);
const NETWORK = /^(?:nfs4?|cifs|smb3?|smbfs|ceph|glusterfs|fuse\.\S+|davfs|lustre|beegfs|9p|virtiofs|afs|ocfs2|gfs2)$/;

export interface FstabLines {
  /** The root, and what was found on the same disk. */
  isHere(line: string): boolean;
  /** It mounts a disk, and not one that was looked into. */
  isElsewhere(line: string): boolean;
  /** The UUID by which the same can be found on any bus; '' when nobody knows. */
  uuidOf(line: string): string;
}

export function fstabLines({ disk, uuid }: FileTree): FstabLines {
  const known = new Map([...disk.attached, ...disk.swaps].map(({ line, uuid: own }) => [line, own ?? '']));
  const isRoot = (line: string): boolean => fstabFields(line)?.at === '/';
  const isHere = (line: string): boolean => isRoot(line) || known.has(line);
  return {
    isHere,
    isElsewhere: (line) => {
      const fields = fstabFields(line);
      if (fields === null || !fields.at.startsWith('/') || isHere(line)) return false;
      const { type, options } = fields;
      const isOther = options.some((one) => ['bind', 'rbind', '_netdev'].includes(one));
      return !PSEUDO.has(type) && !NETWORK.test(type) && !isOther;
    },
    uuidOf: (line) => (isRoot(line) ? uuid : known.get(line)) ?? '',
  };
}

/** The system starts without it when it is not there. */
export function isDispensable(line: string): boolean {
  return fstabFields(line)?.options.some((one) => one === 'nofail' || one === 'noauto') === true;
}
