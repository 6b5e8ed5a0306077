// What lies at a place of a source, by blkid's low-level probing (blkid(8), -p): it looks at the bytes, not at a cache, and
// knows when two signatures contradict each other (an LVM label over the rests of an ext4, say).
import { requireTool, runTool } from '../../base/mod.ts';
import type { LocalView } from './local-view.ts';
import type { ByteRange } from './ranges.ts';

const EXIT_NOTHING = 2;

export interface Probe {
  /** `unclear`: contradictory signatures, or the tool failed. */
  readonly kind: 'nothing' | 'unclear' | 'found';
  /** File system, swap, LVM, RAID member...: blkid's TYPE. */
  readonly type: string | null;
  /** Partition table: blkid's PTTYPE ("gpt", "dos", "PMBR"...). */
  readonly tableType: string | null;
  /** End of the file system relative to its start, where this version of blkid tells it. */
  readonly endBytes: number | null;
}

/** Looks at a range, or at the source as a whole. Never throws for what the bytes are. */
export async function probe(view: LocalView, range?: ByteRange): Promise<Probe> {
  const place = range ? ['-O', String(range.offsetBytes), '-S', String(range.lengthBytes)] : [];
  const result = await runTool(requireTool('blkid', 'util-linux'), ['-p', '-o', 'export', ...place, '--', view.path]);
  if (result.status === EXIT_NOTHING) return { kind: 'nothing', type: null, tableType: null, endBytes: null };
  if (result.status !== 0) return { kind: 'unclear', type: null, tableType: null, endBytes: null };
  const tags = new Map<string, string>();
  for (const line of result.stdout.split('\n')) {
    const equals = line.indexOf('=');
    if (equals > 0) tags.set(line.slice(0, equals), line.slice(equals + 1));
  }
  return {
    kind: 'found',
    type: tags.get('TYPE') ?? null,
    tableType: tags.get('PTTYPE') ?? null,
    endBytes: endOf(tags),
  };
}

/** FSSIZE leaves an XFS log out, so the number of the last block is what counts (libblkid, superblocks.c). */
function endOf(tags: ReadonlyMap<string, string>): number | null {
  const lastBlock = Number(tags.get('FSLASTBLOCK') ?? Number.NaN);
  const blockBytes = Number(tags.get('FSBLOCKSIZE') ?? Number.NaN);
  // Some types give the count, some the last index; one block more is right for both, and covers the copy of the boot
  // sector that NTFS keeps behind its end.
  const end = (lastBlock + 1) * blockBytes;
  return Number.isSafeInteger(end) && end > 0 ? end : null;
}

export function isExt(type: string | null): boolean {
  return type === 'ext2' || type === 'ext3' || type === 'ext4';
}
