// What else of a disk belongs to the system on it: the file systems that its fstab(5) mounts, and those that systemd mounts by itself. A
// list of a system, not to be believed further than what is found in the partitions.
import { type FstabFields, fstabFields } from '../fstab-line.ts';
import { type FileTree, readText } from '../tree/mod.ts';
import type { Candidate, FileSystem, Swap } from './candidates.ts';

const FSTAB = '/etc/fstab';
/** Nobody mounts so much; what lies behind stays outside, and is reported so. */
const LINES_MAX = 1000;

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

/** Partitions as the kernel calls them on the usual buses: the disk, and the number. */
const PARTITION = /^\/dev\/((?:sd|vd|xvd|hd)[a-z]{1,3}|(?:nvme\d{1,3}n|mmcblk)\d{1,3}(?=p))p?([1-9]\d{0,2})$/;
const FIRST_DISK = /^(?:(?:sd|vd|xvd|hd)a|nvme0n1|mmcblk0)$/;
/** The type of partition that UEFI starts from. */
const EFI_SYSTEM = 'C12A7328-F81F-11D2-BA4B-00A0C93EC93B';
/** Where systemd-gpt-auto-generator(8) mounts it when fstab does not say. */
const EFI_PLACES = ['/efi', '/boot'];

export interface Attachment {
  /** As fstab says it: links may lead elsewhere. */
  readonly at: string;
  readonly candidate: Candidate;
  /** Of fstab; '' when it is mounted without. */
  readonly line: string;
  /** It may be mounted, or not: only where it hides nothing it is a part of the system. */
  readonly isSure: boolean;
}

type Line = FstabFields & { readonly text: string };

export class Fstab {
  readonly #lines: readonly Line[];
  /** What the kernel calls this disk, as far as fstab tells; null: nobody knows. */
  readonly #disk: string | null;

  private constructor(lines: readonly Line[]) {
    this.#lines = lines;
    const disks = new Set(lines.flatMap(({ what }) => PARTITION.exec(what)?.[1] ?? []));
    const [first = ''] = disks;
    const root = lines.find(({ at }) => at === '/');
    const ofRoot = PARTITION.exec(root?.what ?? '')?.[1] ?? null;
    this.#disk = ofRoot ?? (disks.size === 1 && FIRST_DISK.test(first) ? first : null);
  }

  static async of(tree: FileTree): Promise<Fstab> {
    const read = await readText(tree, FSTAB);
    return new Fstab(read.status === 'text' ? read.text.split('\n').slice(0, LINES_MAX).flatMap(lineOf) : []);
  }

  /** What it mounts, the outer ones first. @param candidates all of the disk but the root */
  attachments(candidates: readonly Candidate[]): readonly Attachment[] {
    const found = this.#lines.flatMap((line): Attachment[] => {
      const candidate = line.at.startsWith('/') && line.at !== '/' ? this.#candidateFor(line, candidates) : null;
      const { at, text, options } = line;
      const isSure = !options.includes('noauto') || options.includes('x-systemd.automount');
      return candidate === null ? [] : [{ at, candidate, line: text, isSure }];
    });
    const depth = ({ at }: Attachment): number => at.split('/').filter(Boolean).length;
    const listed = found.sort((one, other) => depth(one) - depth(other));
    return [...listed, ...efiOutside(listed, candidates)];
  }

  /** The lines that swap to this disk. */
  swaps(candidates: readonly Swap[]): readonly { readonly line: string; readonly uuid: string }[] {
    return this.#lines.flatMap(({ text, what, type }) => {
      const own = type === 'swap' ? candidates.filter((one) => this.#isCalled(one, what)) : [];
      return own.length === 1 ? [{ line: text, uuid: own[0]?.uuid ?? '' }] : [];
    });
  }

  /** Null when there is none, and when several answer to that name: nobody knows which one the system would take. */
  #candidateFor({ what, type, options }: Line, candidates: readonly Candidate[]): Candidate | null {
    // A number of a tree of btrfs; we know them by name.
    if (options.some((option) => option.startsWith('subvolid='))) return null;
    const named = options.find((option) => option.startsWith('subvol='));
    const subvolume = named?.replace(/^subvol=\/?/, '') ?? null;
    const fits = ({ holds }: Candidate): boolean => {
      if (type !== 'auto' && !type.split(',').some((one) => TYPES[one] === holds.type)) return false;
      return !('subvolume' in holds) || holds.subvolume === subvolume;
    };
    const [only, another] = candidates.filter((one) => fits(one) && this.#isCalled(one, what));
    return only === undefined || another !== undefined ? null : only;
  }

  #isCalled({ names, partition }: Pick<Candidate, 'names' | 'partition'>, what: string): boolean {
    const [, disk, number] = PARTITION.exec(what) ?? [];
    if (disk !== undefined) return disk === this.#disk && partition?.number === Number(number);
    const name = what
      .replace(/^\/dev\/disk\/by-(uuid|label|partuuid|partlabel)\//, (_, kind: string) => `${kind.toUpperCase()}=`)
      .replaceAll('"', '');
    const isNumber = /^(PART)?UUID=/.test(name);
    return names.some((one) => one === name || (isNumber && one.toLowerCase() === name.toLowerCase()));
  }
}

function lineOf(text: string): Line[] {
  const fields = fstabFields(text);
  return fields === null ? [] : [{ ...fields, text }];
}

function efiOutside(listed: readonly Attachment[], candidates: readonly Candidate[]): Attachment[] {
  const [only, another] = candidates.filter(
    ({ holds, partition }) => holds.type === 'fat' && partition?.type.toUpperCase() === EFI_SYSTEM,
  );
  if (only === undefined || another !== undefined || listed.some(({ candidate }) => candidate === only)) return [];
  return EFI_PLACES.map((at) => ({ at, candidate: only, line: '', isSure: false }));
}
