// Lines of fstab(5), by what of them is on the disk and so was looked into.
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
  const isHere = (line: string): boolean => fieldsOf(line).at === '/' || known.has(line);
  return {
    isHere,
    isElsewhere: (line) => {
      const { what, at, type, options } = fieldsOf(line);
      if (what.startsWith('#') || !at.startsWith('/') || isHere(line)) return false;
      return (
        !PSEUDO.has(type) && !NETWORK.test(type) && !options.some((one) => ['bind', 'rbind', '_netdev'].includes(one))
      );
    },
    uuidOf: (line) => (fieldsOf(line).at === '/' ? uuid : known.get(line)) ?? '',
  };
}

/** The system starts without it when it is not there. */
export function isDispensable(line: string): boolean {
  return fieldsOf(line).options.some((one) => one === 'nofail' || one === 'noauto');
}

function fieldsOf(line: string): { what: string; at: string; type: string; options: readonly string[] } {
  const [what = '', at = '', type = '', options = ''] = line.trim().split(/\s+/, 4);
  return { what, at, type, options: options.split(',') };
}
