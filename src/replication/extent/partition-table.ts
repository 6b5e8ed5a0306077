// Partition tables, read by sfdisk(8). Nothing it says is believed before it is checked against the source's size.
import { requireTool, runTool } from '../../base/mod.ts';
import type { LocalView } from './local-view.ts';
import { type ByteRange, rangesOverlap } from './ranges.ts';

export interface PartitionTable {
  readonly label: 'GPT' | 'MBR';
  readonly sectorBytes: number;
  /** Ascending. Extended partitions are containers: they hold the logical ones, which are listed too. */
  readonly partitions: readonly Partition[];
  /** End of the area that partitions may use; behind it lies the backup GPT. Null for MBR. */
  readonly usableEndBytes: number | null;
}

export interface Partition extends ByteRange {
  readonly container: boolean;
}

/** A table, or why there is none that can be used: one clause for people. */
export type TableResult = PartitionTable | { readonly unusable: string };

const CONTAINER_TYPES = ['5', 'f', '85'];
const GPT_PROTECTIVE_TYPE = 'ee';

/** Reads the table; damaged ones, and those of label types other than GPT and MBR, are `unusable`. */
export async function readPartitionTable(view: LocalView): Promise<TableResult> {
  const result = await runTool(requireTool('sfdisk', 'fdisk'), ['--json', '--', view.path]);
  if (result.status !== 0) return { unusable: 'a damaged partition table' };
  let parsed: unknown;
  try {
    parsed = JSON.parse(result.stdout);
  } catch {
    // Names of partitions are the image's bytes; a name that breaks the output makes the table useless to us.
    return { unusable: 'a partition table that cannot be read' };
  }
  const raw = field(parsed, 'partitiontable');
  const label = field(raw, 'label');
  if (label !== 'gpt' && label !== 'dos') return { unusable: `a partition table of type ${String(label)}` };
  const sectorBytes = field(raw, 'sectorsize') ?? 512;
  if (!isCount(sectorBytes) || sectorBytes < 512 || sectorBytes > 65536) return { unusable: 'an odd sector size' };
  const list = field(raw, 'partitions') ?? [];
  if (!Array.isArray(list) || list.length === 0) return { unusable: 'a partition table without partitions' };
  const partitions: Partition[] = [];
  for (const entry of list) {
    const partition = toPartition(entry, sectorBytes);
    if (partition === null) return { unusable: 'a partition table with impossible numbers' };
    if (label === 'dos' && field(entry, 'type') === GPT_PROTECTIVE_TYPE) {
      // Either the GPT is damaged, or it counts in sectors of another size than the one assumed here.
      return { unusable: 'a protective MBR without a GPT that can be read' };
    }
    partitions.push(partition);
  }
  partitions.sort((a, b) => a.offsetBytes - b.offsetBytes);
  const fault = faultOf(partitions, view.sizeBytes);
  if (fault !== null) return { unusable: fault };
  const lastLba = field(raw, 'lastlba');
  const usableEndBytes = label === 'gpt' && isCount(lastLba) ? (lastLba + 1) * sectorBytes : null;
  return { label: label === 'gpt' ? 'GPT' : 'MBR', sectorBytes, partitions, usableEndBytes };
}

function faultOf(partitions: readonly Partition[], sizeBytes: number): string | null {
  const end = Math.max(...partitions.map((partition) => partition.offsetBytes + partition.lengthBytes));
  if (end > sizeBytes) return 'partitions that end behind the end of the source';
  const real = partitions.filter((partition) => !partition.container);
  const clash = real.some((partition, index) => {
    const next = real[index + 1];
    return next !== undefined && rangesOverlap(partition, next);
  });
  // What one file system calls free could be in use by the other.
  return clash ? 'partitions that overlap' : null;
}

function toPartition(entry: unknown, sectorBytes: number): Partition | null {
  const start = field(entry, 'start');
  const size = field(entry, 'size');
  const type = field(entry, 'type');
  if (!isCount(start) || !isCount(size) || start === 0 || size === 0 || typeof type !== 'string') return null;
  if (!Number.isSafeInteger((start + size) * sectorBytes)) return null;
  return {
    offsetBytes: start * sectorBytes,
    lengthBytes: size * sectorBytes,
    container: CONTAINER_TYPES.includes(type),
  };
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

function field(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[name] : undefined;
}
