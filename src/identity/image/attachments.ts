// What else of a disk belongs to the system on it: the file systems that its fstab(5) mounts. A list of a system, not to be believed
// further than what is found in the partitions.
import { type FileTree, readText } from '../tree/mod.ts';
import type { Candidate, FileSystem } from './candidates.ts';

const FSTAB = '/etc/fstab';
const ATTACHED_MAX = 32;

/** Kinds by their names in fstab(5); "auto" is any. */
const TYPES: Readonly<Record<string, FileSystem['type']>> = {
  ext2: 'ext',
  ext3: 'ext',
  ext4: 'ext',
  vfat: 'fat',
  msdos: 'fat',
  xfs: 'xfs',
  btrfs: 'btrfs',
};

/** Partitions of the first disk, as the kernel calls them on the usual buses. */
const FIRST_DISK = /^\/dev\/(?:(?:sd|vd|xvd|hd)a|(?:nvme0n1|mmcblk0)p)([1-9]\d{0,2})$/;

export interface Attachment {
  /** As fstab says it: links may lead elsewhere. */
  readonly at: string;
  readonly candidate: Candidate;
}

/** The outer ones first. @param candidates all of the disk but the root */
export async function attachedTo(tree: FileTree, candidates: readonly Candidate[]): Promise<readonly Attachment[]> {
  const read = await readText(tree, FSTAB);
  if (read.status !== 'text') return [];
  const found = read.text.split('\n').flatMap((line) => {
    const [what = '', at = '', type = '', options = ''] = line.trim().split(/\s+/).map(decode);
    if (what.startsWith('#') || !at.startsWith('/') || at === '/') return [];
    const candidate = candidateFor({ what, type, options }, candidates);
    return candidate === null ? [] : [{ at, candidate }];
  });
  const depth = ({ at }: Attachment): number => at.split('/').filter(Boolean).length;
  return found.sort((one, other) => depth(one) - depth(other)).slice(0, ATTACHED_MAX);
}

/** Null when there is none, and when several answer to that name: nobody knows which one the system would take. */
function candidateFor(
  line: { readonly what: string; readonly type: string; readonly options: string },
  candidates: readonly Candidate[],
): Candidate | null {
  const subvolume = /(?:^|,)subvol=\/?([^,]+)/.exec(line.options)?.[1] ?? null;
  const fits = ({ holds }: Candidate): boolean => {
    if (line.type !== 'auto' && TYPES[line.type] !== holds.type) return false;
    return !('subvolume' in holds) || holds.subvolume === subvolume;
  };
  const [only, another] = candidates.filter((one) => fits(one) && isCalled(one, line.what));
  return only === undefined || another !== undefined ? null : only;
}

function isCalled({ names, partition }: Candidate, what: string): boolean {
  const number = FIRST_DISK.exec(what)?.[1];
  if (number !== undefined) return partition === Number(number);
  const name = what
    .replace(/^\/dev\/disk\/by-(uuid|label|partuuid|partlabel)\//, (_, kind: string) => `${kind.toUpperCase()}=`)
    .replaceAll('"', '');
  const isNumber = /^(PART)?UUID=/.test(name);
  return names.some((one) => one === name || (isNumber && one.toLowerCase() === name.toLowerCase()));
}

/** Spaces and such are written as octal numbers. */
function decode(field: string): string {
  return field.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}
