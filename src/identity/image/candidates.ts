// Where in an image file systems may begin: at its start, and in the partitions of its table. Which of them is a
// system's root is told by what is in it, not by partition types, which lie.
import {
  type ImageFile,
  parseSuperblock,
  SUPERBLOCK_BYTES,
  SUPERBLOCK_OFFSET_BYTES,
  type Superblock,
} from '../ext/mod.ts';
import { type BootSector, parseBootSector } from '../fat/mod.ts';
import { uuidOf } from '../uuid.ts';
import { foreignContent, membershipOf, type Region } from './signatures.ts';
import { runToEnd, sizeOf } from './tool.ts';

const PARTITIONS_MAX = 256;
const LVM_LABEL = 'LABELONE';
/** Where btrfs has its superblock. */
const BTRFS_BYTES = 64 * 1024;
const START_BYTES = 68 * 1024;

/** What the kernel has to mount. `subvolume`: null is the default one. */
export interface Mountable {
  readonly type: 'xfs' | 'btrfs';
  readonly uuid: string;
  readonly label: string;
  readonly subvolume: string | null;
}

/** A system may have its root in one of these. */
export type RootFileSystem = { readonly type: 'ext'; readonly superblock: Superblock } | Mountable;

/** FAT holds what the firmware starts from. */
export type FileSystem = RootFileSystem | { readonly type: 'fat'; readonly boot: BootSector };

export interface Candidate {
  readonly offsetBytes: number;
  readonly holds: FileSystem;
  /** What fstab(5) may call it: "UUID=...", "LABEL=...", "PARTUUID=...", "PARTLABEL=...". */
  readonly names: readonly string[];
  /** null: it begins where the image does. */
  readonly partition: Partition | null;
}

export interface Partition extends Region {
  /** In the partition table; 0: nobody knows. */
  readonly number: number;
  /** As the table has it: a GUID, or a hexadecimal number. */
  readonly type: string;
  readonly uuid: string;
  readonly name: string;
}

/** Room to swap, by the names that fstab(5) may have for it. */
export type Swap = Pick<Candidate, 'names' | 'partition'> & { readonly uuid: string };

export interface Candidates {
  readonly found: readonly Candidate[];
  readonly swaps: readonly Swap[];
  /** Partitions in which nothing is that we know. */
  readonly unknown: readonly string[];
  /** What else lies there, one clause each, for the message when nothing can be used. */
  readonly obstacles: readonly string[];
  /** Something is an ext file system but for impossible numbers in its superblock. */
  readonly damaged: boolean;
}

/**
 * @param path where sfdisk(8) finds the bytes of `image`
 * @param kernelMount those count as well that the kernel has to mount
 */
export async function findCandidates(
  image: ImageFile,
  { path, kernelMount }: { readonly path: string; readonly kernelMount: boolean },
  signal: AbortSignal,
): Promise<Candidates> {
  const found: Candidate[] = [];
  const obstacles: string[] = [];
  let damaged = false;
  const swaps: Swap[] = [];
  const unknown: string[] = [];
  const whole = { offsetBytes: 0, sizeBytes: await sizeOf({ path }) };
  const member = await membershipOf(image, path, whole, signal);
  if (member !== null) return { found, swaps, unknown, obstacles: [`the whole disk: ${member}`], damaged };
  const { partitions, obstacle } = await partitionsOf(path, signal);
  for (const partition of [null, ...partitions]) {
    const region = partition ?? whole;
    const { offsetBytes } = region;
    const where = offsetBytes === 0 ? 'at its start' : `at byte ${offsetBytes}`;
    const part = partition === null ? null : await membershipOf(image, path, region, signal);
    if (part !== null) {
      obstacles.push(`${where}: ${part}`);
      continue;
    }
    const result = parseSuperblock(await image.read(offsetBytes + SUPERBLOCK_OFFSET_BYTES, SUPERBLOCK_BYTES));
    if (result.kind === 'ext') found.push(candidateOf(partition, { type: 'ext', superblock: result.superblock }));
    else if (result.kind !== 'none') obstacles.push(`${where}: ${result.why}`);
    else {
      const start = image.read(offsetBytes, START_BYTES);
      const mountable = mountableIn(start);
      found.push(...(kernelMount ? mountable : []).map((holds) => candidateOf(partition, holds)));
      // The first sector of a disk with a partition table can look like one.
      const boot = partition === null ? null : parseBootSector(start);
      if (boot !== null) found.push(candidateOf(partition, { type: 'fat', boot }));
      const swap = swapIn(start);
      if (swap !== null) swaps.push({ uuid: swap.uuid, partition, names: namesOf(swap, partition) });
      const other = otherContent(start, where);
      const isKnown = boot !== null || swap !== null || mountable.length > 0 || other.length > 0;
      // What a disk with partitions begins with is its table.
      const mayBeForeign = !isKnown && (partition !== null || partitions.length === 0);
      const foreign = mayBeForeign ? await foreignContent(path, region, signal) : null;
      obstacles.push(...other, ...(foreign === null ? [] : [`${where}: ${foreign}`]));
      if (partition !== null && !isKnown && foreign === null && !holdsNothing(partition, start)) unknown.push(where);
    }
    damaged ||= result.kind === 'damaged';
  }
  // A boot sector can look like a table.
  if (obstacle !== null && obstacles.length === 0) obstacles.push(obstacle);
  return { found, swaps, unknown, obstacles, damaged };
}

function candidateOf(partition: Partition | null, holds: FileSystem): Candidate {
  const own = holds.type === 'ext' ? holds.superblock : holds.type === 'fat' ? holds.boot : holds;
  return { offsetBytes: partition?.offsetBytes ?? 0, holds, names: namesOf(own, partition), partition };
}

function namesOf(own: { readonly uuid: string; readonly label: string }, partition: Partition | null): string[] {
  const names = { UUID: own.uuid, LABEL: own.label, PARTUUID: partition?.uuid, PARTLABEL: partition?.name };
  return Object.entries(names).flatMap(([kind, name = '']) => (name === '' ? [] : [`${kind}=${name}`]));
}

/** union swap_header of linux/swap.h, for pages of 4 KiB: signature, UUID, label. */
function swapIn(start: Buffer): { readonly uuid: string; readonly label: string } | null {
  if (start.toString('latin1', 4086, 4096) !== 'SWAPSPACE2') return null;
  return { uuid: uuidAt(start, 1036), label: textAt(start, 1052, 16) };
}

/** GRUB's, an extended partition of an MBR, and what has never been written to. */
function holdsNothing({ type }: Partition, start: Buffer): boolean {
  const isBootLoader = type.toUpperCase() === '21686148-6449-6E6F-744E-656564454649';
  return isBootLoader || ['5', 'f', '85'].includes(type.toLowerCase()) || start.every((byte) => byte === 0);
}

/**
 * XFS: struct xfs_dsb; btrfs: struct btrfs_super_block. Many systems have their root in a subvolume of one of these
 * names.
 */
function mountableIn(start: Buffer): Mountable[] {
  const has = (at: number, text: string): boolean => start.toString('latin1', at, at + text.length) === text;
  if (has(0, 'XFSB')) return [{ type: 'xfs', uuid: uuidAt(start, 32), label: textAt(start, 108, 12), subvolume: null }];
  if (devicesOf(start) !== 1) return [];
  const uuid = uuidAt(start, BTRFS_BYTES + 32);
  const label = textAt(start, BTRFS_BYTES + 0x12b, 256);
  return [null, '@', 'root'].map((subvolume) => ({ type: 'btrfs', uuid, label, subvolume }));
}

/** How many devices a btrfs lies on; 0: it is not one. */
function devicesOf(start: Buffer): number {
  const isBtrfs = start.toString('latin1', BTRFS_BYTES + 64, BTRFS_BYTES + 72) === '_BHRfS_M';
  return isBtrfs ? start.readUInt32LE(BTRFS_BYTES + 0x88) : 0;
}

function textAt(start: Buffer, at: number, lengthBytes: number): string {
  return start.toString('utf8', at, at + lengthBytes).replace(/\0.*$/s, '');
}

function uuidAt(start: Buffer, at: number): string {
  return uuidOf(start.toString('hex', at, at + 16));
}

/** Signatures of what people are likely to have instead, so that the message can say so. */
function otherContent(start: Buffer, where: string): string[] {
  const has = (at: number, text: string): boolean => start.toString('latin1', at, at + text.length) === text;
  if (has(0, 'QFI\xfb')) return [`${where}: a qcow2 image, where a raw one is expected`];
  if ([0, 512, 1024, 1536].some((at) => has(at, LVM_LABEL))) return [`${where}: LVM, which is not supported`];
  const [mountable] = mountableIn(start);
  const devices = devicesOf(start);
  if (devices > 1) return [`${where}: one of ${devices} devices of a btrfs: one is not changed without the others`];
  if (mountable !== undefined)
    return [`${where}: ${mountable.type}, which only a kernel mount can read (--kernel-mount)`];
  if (has(0, 'LUKS\xba\xbe')) return [`${where}: encrypted (LUKS), which is not supported`];
  return [];
}

async function partitionsOf(
  path: string,
  signal: AbortSignal,
): Promise<{ partitions: readonly Partition[]; obstacle: string | null }> {
  // Without a table sfdisk says so and fails, as it does for one that is damaged: in both cases only the start is left
  // to look at.
  const result = await runToEnd('sfdisk', ['--json', '--', path], signal);
  if (result.status !== 0) return { partitions: [], obstacle: null };
  const table = field(parseJson(result.stdout), 'partitiontable');
  const label = field(table, 'label');
  if (label !== 'gpt' && label !== 'dos') {
    return { partitions: [], obstacle: typeof label === 'string' ? `a partition table of type ${label}` : null };
  }
  const sectorBytes = field(table, 'sectorsize') ?? 512;
  const list = field(table, 'partitions');
  if (!isCount(sectorBytes) || !Array.isArray(list))
    return { partitions: [], obstacle: 'a partition table without partitions' };
  const disk = text(field(table, 'id'));
  const partitions = list.slice(0, PARTITIONS_MAX).flatMap((entry: unknown) => {
    const [start, size] = [field(entry, 'start'), field(entry, 'size')];
    const offsetBytes = isCount(start) ? start * sectorBytes : 0;
    const sizeBytes = isCount(size) ? size * sectorBytes : 0;
    if (offsetBytes === 0 || !Number.isSafeInteger(offsetBytes) || !Number.isSafeInteger(sizeBytes)) return [];
    // sfdisk calls it after the disk: "disk.img2", "/dev/loop0p2", "/dev/mapper/vg0-web1p2".
    const number = Number(/[1-9]\d{0,3}$/.exec(text(field(entry, 'node')))?.[0] ?? 0);
    // A partition of an MBR is called after the disk's own number (blkid(8)).
    const ofDisk = number === 0 ? '' : `${disk.replace(/^0x/, '')}-${number.toString(16).padStart(2, '0')}`;
    const uuid = label === 'gpt' ? text(field(entry, 'uuid')) : ofDisk;
    return [
      { offsetBytes, sizeBytes, number, type: text(field(entry, 'type')), uuid, name: text(field(entry, 'name')) },
    ];
  });
  return { partitions, obstacle: null };
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

/** Null for what is none: names of partitions are the image's own and may break what sfdisk prints. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function field(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[name] : undefined;
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}
