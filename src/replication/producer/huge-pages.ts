// Huge pages under the slots of a ring. A transfer past the page cache costs by the physically connected piece, so the same
// disk moves up to twice as much a second to and from them (docs/decisions/0011-huge-pages.md). tmpfs gives none by itself
// unless it was mounted so, but any range of it can be turned into one. Where the kernel cannot, the ring works as well.
import { limits } from '../../base/mod.ts';
import { type Collapse, collapsePages, mapShared, reserveSpace } from '../../linux/mod.ts';

/**
 * Before anybody uses the ring: as many as the kernel has in a short time. A range that holds one small page becomes a huge
 * one for less than it costs to fill it with small pages. @throws SystemError ENOSPC
 */
export function reserveHugePages(fd: number, dataAt: number, dataBytes: number): void {
  const count = Math.floor(dataBytes / limits.HUGE_PAGE_BYTES);
  if (count === 0) return;
  const deadline = performance.now() + limits.HUGE_PAGES_MS_MAX;
  const mapping = mapShared(fd, dataBytes, dataAt);
  try {
    for (let index = 0; index < count && performance.now() < deadline; index++) {
      reserveSpace(fd, dataAt + index * limits.HUGE_PAGE_BYTES, limits.PAGE_BYTES);
      if (collapse(mapping.buffer, 0, index) === 'refused') return;
    }
  } finally {
    mapping.unmap();
  }
}

/** While the ring is in use: the rest of them, one at a time, in moments in which the producer has nothing to do. */
export class HugePages {
  readonly #buffer: ArrayBuffer;
  readonly #dataAt: number;
  /** Huge pages by their number that are not known to be there. */
  readonly #wanted: number[];

  /** `buffer` is the whole ring. */
  constructor(buffer: ArrayBuffer, dataAt: number, dataBytes: number) {
    this.#buffer = buffer;
    this.#dataAt = dataAt;
    this.#wanted = Array.from({ length: Math.floor(dataBytes / limits.HUGE_PAGE_BYTES) }, (_, index) => index);
  }

  /** Tries one; false when there is nothing more to try. Takes less than a millisecond, a few where memory is scarce. */
  convertOne(): boolean {
    const index = this.#wanted.shift();
    if (index === undefined) return false;
    const outcome = collapse(this.#buffer, this.#dataAt, index);
    if (outcome === 'refused') this.#wanted.length = 0;
    return true;
  }
}

function collapse(buffer: ArrayBuffer, dataAt: number, index: number): Collapse {
  return collapsePages(new Uint8Array(buffer, dataAt + index * limits.HUGE_PAGE_BYTES, limits.HUGE_PAGE_BYTES));
}
