// A virtual machine gives memory that is free back to its host, and getting it again costs ten times as much as using it. Who
// fills the page cache would pay for that in one run and not in the next, so memory is fetched before the time is taken.
import { freemem } from 'node:os';
import { limits } from '../../src/base/mod.ts';
import { allocatePages, type Mapping } from '../../src/linux/mod.ts';

/** Never so much that the machine runs short of it. */
const LEFT_FREE_BYTES = 3 * limits.GIB;

/** Touches free memory, at most so much as there is, and frees it at once. */
export function readyMemory(bytes: number): void {
  const pieces: Mapping[] = [];
  try {
    for (let done = 0; done < bytes && freemem() > LEFT_FREE_BYTES; done += limits.GIB) {
      const piece = allocatePages(limits.GIB);
      pieces.push(piece);
      const view = new Uint8Array(piece.buffer);
      for (let at = 0; at < view.length; at += limits.PAGE_BYTES) view[at] = 1;
    }
  } finally {
    for (const piece of pieces) piece.unmap();
  }
}
