// Where in an image file systems may begin: at its start, and in the partitions of its table. Which of them is a system's root is
// told by what is in it, not by partition types, which lie.
import {
  type ImageFile,
  parseSuperblock,
  SUPERBLOCK_BYTES,
  SUPERBLOCK_OFFSET_BYTES,
  type Superblock,
} from '../ext/mod.ts';
import { type BootSector, parseBootSector } from '../fat/mod.ts';
import { uuidOf } from '../uuid.ts';
import { runToEnd } from './tool.ts';

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

export interface Candidate<Holds extends FileSystem = FileSystem> {
  readonly offsetBytes: number;
  readonly holds: Holds;
  /** What fstab(5) may call it: "UUID=...", "LABEL=...", "PARTUUID=...", "PARTLABEL=...". */
  readonly names: readonly string[];
  /** Number in the partition table; null when it begins where the image does. */
  readonly partition: number | null;
}

export interface Candidates {
  readonly found: readonly Candidate[];
  /** What else lies there, one clause each, for the message when nothing can be used. */
  readonly obstacles: readonly string[];
  /** Something is an ext file system but for impossible numbers in its superblock. */
  readonly damaged: boolean;
}

interface Partition {
  readonly offsetBytes: number;
  readonly number: number | null;
  readonly uuid: string;
  readonly name: string;
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
  const { partitions, obstacle } = await partitionsOf(path, signal);
  if (obstacle !== null) obstacles.push(obstacle);
  for (const partition of [{ offsetBytes: 0, number: null, uuid: '', name: '' }, ...partitions]) {
    const { offsetBytes } = partition;
    const result = parseSuperblock(await image.read(offsetBytes + SUPERBLOCK_OFFSET_BYTES, SUPERBLOCK_BYTES));
    const where = offsetBytes === 0 ? 'at its start' : `at byte ${offsetBytes}`;
    if (result.kind === 'ext') found.push(candidateOf(partition, { type: 'ext', superblock: result.superblock }));
    else if (result.kind !== 'none') obstacles.push(`${where}: ${result.why}`);
    else {
      const start = await image.read(offsetBytes, START_BYTES);
      const mountable = mountableIn(start);
      found.push(...(kernelMount ? mountable : []).map((holds) => candidateOf(partition, holds)));
      // The first sector of a disk with a partition table can look like one.
      const boot = partition.number === null ? null : parseBootSector(start);
      if (boot !== null) found.push(candidateOf(partition, { type: 'fat', boot }));
      obstacles.push(...otherContent(start, where));
    }
    damaged ||= result.kind === 'damaged';
  }
  return { found, obstacles, damaged };
}

function candidateOf(partition: Partition, holds: FileSystem): Candidate {
  const { uuid, label } = holds.type === 'ext' ? holds.superblock : holds.type === 'fat' ? holds.boot : holds;
  const names = { UUID: uuid, LABEL: label, PARTUUID: partition.uuid, PARTLABEL: partition.name };
  return {
    offsetBytes: partition.offsetBytes,
    holds,
    names: Object.entries(names).flatMap(([kind, name]) => (name === '' ? [] : [`${kind}=${name}`])),
    partition: partition.number,
  };
}

/** XFS: struct xfs_dsb; btrfs: struct btrfs_super_block. Many systems have their root in a subvolume of one of these names. */
function mountableIn(start: Buffer): Mountable[] {
  const has = (at: number, text: string): boolean => start.toString('latin1', at, at + text.length) === text;
  if (has(0, 'XFSB')) return [{ type: 'xfs', uuid: uuidAt(start, 32), label: textAt(start, 108, 12), subvolume: null }];
  if (!has(BTRFS_BYTES + 64, '_BHRfS_M')) return [];
  const uuid = uuidAt(start, BTRFS_BYTES + 32);
  const label = textAt(start, BTRFS_BYTES + 0x12b, 256);
  return [null, '@', 'root'].map((subvolume) => ({ type: 'btrfs', uuid, label, subvolume }));
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
  if (mountable !== undefined)
    return [`${where}: ${mountable.type}, which only a kernel mount can read (--kernel-mount)`];
  if (has(0, 'LUKS\xba\xbe')) return [`${where}: encrypted (LUKS), which is not supported`];
  return [];
}

async function partitionsOf(
  path: string,
  signal: AbortSignal,
): Promise<{ partitions: readonly Partition[]; obstacle: string | null }> {
  // Without a table sfdisk says so and fails, as it does for one that is damaged: in both cases only the start is left to look at.
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
    const start = field(entry, 'start');
    const offsetBytes = isCount(start) ? start * sectorBytes : 0;
    if (offsetBytes === 0 || !Number.isSafeInteger(offsetBytes)) return [];
    const number = numberOf(text(field(entry, 'node')), path);
    // A partition of an MBR is called after the disk's own number (blkid(8)).
    const ofDisk = number === null ? '' : `${disk.replace(/^0x/, '')}-${number.toString(16).padStart(2, '0')}`;
    const uuid = label === 'gpt' ? text(field(entry, 'uuid')) : ofDisk;
    return [{ offsetBytes, number, uuid, name: text(field(entry, 'name')) }];
  });
  return { partitions, obstacle: null };
}

/** sfdisk calls a partition after the disk: "disk.img2", "/dev/loop0p2". */
function numberOf(node: string, disk: string): number | null {
  const match = node.startsWith(disk) ? /^p?([1-9]\d{0,3})$/.exec(node.slice(disk.length)) : null;
  return match === null ? null : Number(match[1]);
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
