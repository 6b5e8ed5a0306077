// The free blocks of an ext2/3/4 file system, as e2fsprogs' own dumpe2fs(8) lists them per group. Whenever anything hints
// that the block bitmaps may not be the whole truth, the answer is to copy the file system whole.
import { limits, requireTool, runTool, type ToolResult } from '../../base/mod.ts';
import { type ExtHeader, ext2Name, parseHeader } from './ext-header.ts';
import type { LocalView } from './local-view.ts';
import { type ByteRange, mergeRanges } from './ranges.ts';

/** About 350 bytes a group of 128 MiB, more when fragmented: this is enough for 16 TiB. */
const OUTPUT_BYTES_MAX = 64 * limits.MIB;
/** Reading all bitmaps of a large file system over a network takes a while. */
const TIMEOUT_MS = 120_000;

/** Free ranges in bytes from the start of the source, or why the file system has to be copied whole. */
export type FreeResult = { readonly free: readonly ByteRange[] } | { readonly whole: string };

/** `place` is where the file system may lie: its partition, or the whole source. */
export async function findFree(view: LocalView, place: ByteRange): Promise<FreeResult> {
  const result = await dump(view, place.offsetBytes);
  if (typeof result === 'string') return { whole: result };
  if (result.status === null) return { whole: 'dumpe2fs took too long' };
  const header = parseHeader(result.stdout);
  if (header === null) return { whole: 'dumpe2fs cannot read it' };
  const doubt = doubtOf(header, place);
  if (doubt !== null) return { whole: doubt };
  if (result.status !== 0) return { whole: 'its block bitmaps are damaged' };
  const blocks = freeBlocks(result.stdout, header);
  if (blocks === null) return { whole: 'its free blocks contradict their count' };
  const free = blocks.map(([first, end]) => ({
    offsetBytes: place.offsetBytes + first * header.blockBytes,
    lengthBytes: (end - first) * header.blockBytes,
  }));
  return { free: mergeRanges(free) };
}

async function dump(view: LocalView, offsetBytes: number): Promise<ToolResult | string> {
  const tool = requireTool('dumpe2fs', 'e2fsprogs');
  try {
    return await runTool(tool, [ext2Name(view.path, offsetBytes)], {
      timeoutMs: TIMEOUT_MS,
      outputBytesMax: OUTPUT_BYTES_MAX,
    });
  } catch (error) {
    // The output limit is an answer about this file system; anything else (no memory, no processes) is our own trouble.
    const code = error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined;
    if (code !== 'ERR_CHILD_PROCESS_STDIO_MAXBUFFER') throw error;
    return 'it is too fragmented to list';
  }
}

function doubtOf(header: ExtHeader, place: ByteRange): string | null {
  // Until the journal is replayed, blocks in use may still be marked free.
  if (header.features.includes('needs_recovery')) return 'its journal needs recovery';
  if (header.state !== 'clean') return `its state is "${header.state}"`;
  if (header.errorCount !== 0) return 'errors were noted in it';
  if (header.blockCount * header.blockBytes > place.lengthBytes) return 'it is larger than its place';
  return null;
}

/**
 * Ascending [first, end) block ranges. With bigalloc dumpe2fs names the first block of each free cluster, also as the end
 * of a range. Each group's list must add up to the group's own count, which catches whatever was misread.
 */
function freeBlocks(text: string, header: ExtHeader): [number, number][] | null {
  const counts = [...text.matchAll(/^ {2}(\d+) free (?:blocks|clusters), /gm)].map((match) => Number(match[1]));
  const lists = [...text.matchAll(/^ {2}Free blocks: (.*)$/gm)].map((match) => match[1] ?? '');
  const groups = [...text.matchAll(/^Group \d+: /gm)].length;
  if (groups === 0 || counts.length !== groups || lists.length !== groups) return null;
  const ranges: [number, number][] = [];
  let previousEnd = header.firstBlock;
  for (const [group, list] of lists.entries()) {
    let freeClusters = 0;
    for (const item of list.split(', ')) {
      if (item.trim() === '') continue;
      const match = /^(\d+)(?:-(\d+))?$/.exec(item.trim());
      if (match === null) return null;
      const first = Number(match[1]);
      const last = Number(match[2] ?? match[1]);
      if (first < previousEnd || last < first || last >= header.blockCount) return null;
      freeClusters += (last - first) / header.clusterBlocks + 1;
      previousEnd = Math.min(last + header.clusterBlocks, header.blockCount);
      ranges.push([first, previousEnd]);
    }
    if (freeClusters !== counts[group]) return null;
  }
  return ranges;
}
