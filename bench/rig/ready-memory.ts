// A virtual machine gives memory that is free back to its host, in whole huge pages and within seconds, and getting it again costs
// ten times as much as using it. Who fills the page cache would pay for that in one run and not in the next, and who starts a moment
// later pays for more of it. So memory is fetched before the time is taken, and one small page in each half MiB of it is kept until the
// benchmark ends: what is free around those is no huge page, and stays.
import { freemem } from 'node:os';
import { limits } from '../../src/base/mod.ts';
import { allocatePages, discardPages, type Mapping } from '../../src/linux/mod.ts';

/** Never so much that the machine runs short of it. */
const LEFT_FREE_BYTES = 3 * limits.GIB;
const KEPT_EVERY_BYTES = 512 * limits.KIB;

/** Pieces whose first pages are kept; to the end of the process. */
const kept: Mapping[] = [];
let readyBytes = 0;

/** Touches free memory, at most so much as there is, and frees nearly all of it at once. What was made ready before is not touched again. */
export function readyMemory(bytes: number): void {
  if (bytes <= readyBytes) return;
  const pieces: Mapping[] = [];
  for (let done = 0; done < bytes && freemem() > LEFT_FREE_BYTES; done += limits.GIB) {
    const piece = allocatePages(limits.GIB, 'small');
    pieces.push(piece);
    const view = new Uint8Array(piece.buffer);
    for (let at = 0; at < view.length; at += limits.PAGE_BYTES) view[at] = 1;
  }
  for (const piece of pieces) {
    for (let at = 0; at < limits.GIB; at += KEPT_EVERY_BYTES) {
      discardPages(new Uint8Array(piece.buffer, at + limits.PAGE_BYTES, KEPT_EVERY_BYTES - limits.PAGE_BYTES));
    }
  }
  kept.push(...pieces);
  readyBytes = bytes;
}
