// Where in an image file systems of the ext family may begin: at its start, and in the partitions of its table. Which of them is
// a system's root is told by what is in it, not by partition types, which lie.
import {
  type ImageFile,
  parseSuperblock,
  SUPERBLOCK_BYTES,
  SUPERBLOCK_OFFSET_BYTES,
  type Superblock,
} from '../ext/mod.ts';
import { uuidOf } from '../uuid.ts';
import { runToEnd } from './tool.ts';

const PARTITIONS_MAX = 256;
const LVM_LABEL = 'LABELONE';
/** Where btrfs has its superblock. */
const BTRFS_BYTES = 64 * 1024;
const START_BYTES = 68 * 1024;

/** What we read ourselves, and what the kernel has to mount. */
export type FileSystem =
  | { readonly type: 'ext'; readonly superblock: Superblock }
  /** `subvolume`: null is the default one. */
  | { readonly type: 'xfs' | 'btrfs'; readonly uuid: string; readonly subvolume: string | null };

export interface Candidate {
  readonly offsetBytes: number;
  readonly holds: FileSystem;
}

export interface Candidates {
  readonly found: readonly Candidate[];
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
  const { offsets, obstacle } = await partitionOffsets(path, signal);
  if (obstacle !== null) obstacles.push(obstacle);
  for (const offsetBytes of [0, ...offsets]) {
    const result = parseSuperblock(await image.read(offsetBytes + SUPERBLOCK_OFFSET_BYTES, SUPERBLOCK_BYTES));
    const where = offsetBytes === 0 ? 'at its start' : `at byte ${offsetBytes}`;
    if (result.kind === 'ext') found.push({ offsetBytes, holds: { type: 'ext', superblock: result.superblock } });
    else if (result.kind !== 'none') obstacles.push(`${where}: ${result.why}`);
    else {
      const start = await image.read(offsetBytes, START_BYTES);
      const mountable = mountableIn(start);
      found.push(...(kernelMount ? mountable.map((holds) => ({ offsetBytes, holds })) : []));
      obstacles.push(...otherContent(start, where));
    }
    damaged ||= result.kind === 'damaged';
  }
  return { found, obstacles, damaged };
}

/** XFS: struct xfs_dsb; btrfs: struct btrfs_super_block. Many systems have their root in a subvolume of one of these names. */
function mountableIn(start: Buffer): Exclude<FileSystem, { type: 'ext' }>[] {
  const has = (at: number, text: string): boolean => start.toString('latin1', at, at + text.length) === text;
  if (has(0, 'XFSB')) return [{ type: 'xfs', uuid: uuidAt(start, 32), subvolume: null }];
  if (!has(BTRFS_BYTES + 64, '_BHRfS_M')) return [];
  const uuid = uuidAt(start, BTRFS_BYTES + 32);
  return [null, '@', 'root'].map((subvolume) => ({ type: 'btrfs', uuid, subvolume }));
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

async function partitionOffsets(
  path: string,
  signal: AbortSignal,
): Promise<{ offsets: readonly number[]; obstacle: string | null }> {
  // Without a table sfdisk says so and fails, as it does for one that is damaged: in both cases only the start is left to look at.
  const result = await runToEnd('sfdisk', ['--json', '--', path], signal);
  if (result.status !== 0) return { offsets: [], obstacle: null };
  const table = field(parseJson(result.stdout), 'partitiontable');
  const label = field(table, 'label');
  if (label !== 'gpt' && label !== 'dos') {
    return { offsets: [], obstacle: typeof label === 'string' ? `a partition table of type ${label}` : null };
  }
  const sectorBytes = field(table, 'sectorsize') ?? 512;
  const list = field(table, 'partitions');
  if (!isCount(sectorBytes) || !Array.isArray(list))
    return { offsets: [], obstacle: 'a partition table without partitions' };
  const starts = list.slice(0, PARTITIONS_MAX).map((entry) => field(entry, 'start'));
  const offsets = starts.filter(isCount).map((start) => start * sectorBytes);
  return { offsets: offsets.filter((offset) => offset > 0 && Number.isSafeInteger(offset)), obstacle: null };
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
