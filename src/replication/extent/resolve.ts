// Which bytes of a source are to be copied. The images looked at are hostile input: whatever they contain, the worst
// answer is "all of it".
import { formatBytes, limits, UnderstudyError } from '../../base/mod.ts';
import { findFree } from './ext-free.ts';
import { fileSystemEnd } from './file-system-size.ts';
import type { LocalView } from './local-view.ts';
import { type PartitionTable, readPartitionTable } from './partition-table.ts';
import { isExt, type Probe, probe } from './probe.ts';
import { type ByteRange, mergeRanges, totalBytes } from './ranges.ts';

/**
 * `whole`: all. `image`: up to the end of the last partition, or of the file system on a disk without partitions; a
 * backup GPT behind it is left out. `used`: all except what ext2/3/4 file systems call free, and the gap before the
 * backup GPT. `bytes`: the first so many.
 */
export type ExtentRequest =
  | { readonly kind: 'whole' }
  | { readonly kind: 'image' }
  | { readonly kind: 'used' }
  | { readonly kind: 'bytes'; readonly bytes: number };

export interface CopyExtent {
  /** The target needs at least so many bytes; what the source has behind is not copied. */
  readonly endBytes: number;
  /**
   * Ascending ranges below `endBytes`, not touching each other, that need not be read; the target is made to read as
   * zeros there. Ranges shorter than the smallest block of a copy (limits.BLOCK_BYTES_MIN) are left out: they save
   * nothing.
   */
  readonly skip: readonly ByteRange[];
  /** One line for people. */
  readonly why: string;
}

/** The backup GPT: 32 sectors of entries and the header (UEFI specification, 5.3.1). */
const BACKUP_GPT_SECTORS = 33;

/** @throws USAGE when more bytes are asked for than there are; TOOL_MISSING. Never for what the source contains. */
export async function resolveExtent(request: ExtentRequest, view: LocalView): Promise<CopyExtent> {
  switch (request.kind) {
    case 'whole':
      return whole(view, 'the whole source');
    case 'bytes':
      return firstBytes(request.bytes, view);
    case 'image':
      return imageExtent(view);
    case 'used':
      return usedExtent(view);
  }
}

function whole(view: LocalView, why: string): CopyExtent {
  return { endBytes: view.sizeBytes, skip: [], why };
}

function firstBytes(bytes: number, view: LocalView): CopyExtent {
  if (!Number.isSafeInteger(bytes) || bytes <= 0)
    throw new UnderstudyError('USAGE', `${bytes} is not a number of bytes`);
  if (bytes > view.sizeBytes) {
    throw new UnderstudyError('USAGE', `${bytes} bytes were requested, but the source has only ${view.sizeBytes}`);
  }
  return { endBytes: bytes, skip: [], why: `the first ${formatBytes(bytes)}` };
}

/** What fills the source: a partition table, one file system, or a clause that says why neither can be told. */
type Layout =
  | { readonly kind: 'table'; readonly table: PartitionTable }
  | { readonly kind: 'bare'; readonly found: Probe; readonly type: string }
  | { readonly kind: 'unknown'; readonly reason: string };

async function layoutOf(view: LocalView): Promise<Layout> {
  const found = await probe(view);
  if (found.kind === 'nothing') return { kind: 'unknown', reason: 'no partition table or file system recognised' };
  if (found.kind === 'unclear') return { kind: 'unknown', reason: 'contradictory signatures' };
  // Images for CD and USB stick at once, for instance: an ISO 9660 file system with a partition table drawn into it.
  if (found.type !== null && found.tableType !== null) {
    return { kind: 'unknown', reason: `both ${found.type} and a partition table` };
  }
  if (found.type !== null) return { kind: 'bare', found, type: found.type };
  const table = await readPartitionTable(view);
  return 'unusable' in table ? { kind: 'unknown', reason: table.unusable } : { kind: 'table', table };
}

async function imageExtent(view: LocalView): Promise<CopyExtent> {
  const layout = await layoutOf(view);
  if (layout.kind === 'unknown') return whole(view, `whole: ${layout.reason}`);
  if (layout.kind === 'bare') {
    const endBytes = await fileSystemEnd(view, layout.found);
    if (endBytes === null) return whole(view, `whole: ${layout.type}, whose end cannot be known`);
    return { endBytes, skip: [], why: `${layout.type}, ends at ${formatBytes(endBytes)}` };
  }
  const { table } = layout;
  if (await sectorSizeDoubtful(view, table)) return whole(view, 'whole: MBR of a disk with 4 KiB sectors');
  const endBytes = Math.max(...table.partitions.map((partition) => partition.offsetBytes + partition.lengthBytes));
  return { endBytes, skip: [], why: `${describeTable(table)}, last ends at ${formatBytes(endBytes)}` };
}

/**
 * An MBR does not say in which sectors it counts. In an image of a disk with 4 KiB sectors everything would seem to lie
 * at an eighth of its place: then something is found at the eightfold place of a partition and nothing at the place
 * itself.
 */
async function sectorSizeDoubtful(view: LocalView, table: PartitionTable): Promise<boolean> {
  if (table.label !== 'MBR' || view.kind !== 'image' || table.sectorBytes !== 512) return false;
  for (const { offsetBytes, lengthBytes, container } of table.partitions) {
    const far = { offsetBytes: offsetBytes * 8, lengthBytes: lengthBytes * 8 };
    if (container || far.offsetBytes + far.lengthBytes > view.sizeBytes) continue;
    if ((await probe(view, { offsetBytes, lengthBytes })).kind !== 'nothing') return false;
    if ((await probe(view, far)).kind !== 'nothing') return true;
  }
  return false;
}

async function usedExtent(view: LocalView): Promise<CopyExtent> {
  const layout = await layoutOf(view);
  if (layout.kind === 'unknown') return whole(view, `whole: ${layout.reason}`);
  if (layout.kind === 'bare') {
    if (!isExt(layout.type)) return whole(view, `whole: ${layout.type}, whose free blocks cannot be known`);
    const result = await findFree(view, { offsetBytes: 0, lengthBytes: view.sizeBytes });
    if ('whole' in result) return whole(view, `whole: ${layout.type}, but ${result.whole}`);
    return withSkips(view, result.free, layout.type, []);
  }
  const { table } = layout;
  const free: ByteRange[] = [...gapBeforeBackup(view, table)];
  const notes: string[] = [];
  let extCount = 0;
  for (const [index, partition] of table.partitions.entries()) {
    if (partition.container) continue;
    const found = await probe(view, partition);
    if (!isExt(found.type) || found.tableType !== null) continue;
    const result = await findFree(view, partition);
    if ('whole' in result) {
      notes.push(`partition ${index + 1} whole: ${result.whole}`);
      continue;
    }
    extCount += 1;
    free.push(...result.free);
  }
  return withSkips(view, free, `${describeTable(table)}, ${extCount} ext read`, notes);
}

function gapBeforeBackup(view: LocalView, table: PartitionTable): ByteRange[] {
  if (table.usableEndBytes === null) return [];
  const start = Math.max(...table.partitions.map((partition) => partition.offsetBytes + partition.lengthBytes));
  // On a disk that grew, the backup is not at the end yet: it begins where the table says that use ends.
  const end = Math.min(table.usableEndBytes, view.sizeBytes - BACKUP_GPT_SECTORS * table.sectorBytes);
  return end > start ? [{ offsetBytes: start, lengthBytes: end - start }] : [];
}

function withSkips(view: LocalView, free: readonly ByteRange[], what: string, notes: readonly string[]): CopyExtent {
  const skip = mergeRanges(free).filter((range) => range.lengthBytes >= limits.BLOCK_BYTES_MIN);
  const needed = formatBytes(view.sizeBytes - totalBytes(skip));
  const why = [`${what}: ${needed} of ${formatBytes(view.sizeBytes)} in use`, ...notes].join('; ');
  return { endBytes: view.sizeBytes, skip, why };
}

function describeTable(table: PartitionTable): string {
  const count = table.partitions.filter((partition) => !partition.container).length;
  return `${table.label}, ${count} partition${count === 1 ? '' : 's'}`;
}
