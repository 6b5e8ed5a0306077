// Memory that the kernel can read and write directly: shared-memory files and private page-aligned buffers. Large
// mappings start at a multiple of a huge page, because a transfer past the page cache costs by the physically connected
// piece: the same disk moves about twice as much a second to and from huge pages (docs/decisions/0011-huge-pages.md).

import { constants } from 'node:os';
import koffi from 'koffi';
import { assert, limits } from '../base/mod.ts';
import { watchBusErrors } from './bus-error.ts';
import { lastErrno, lastError, libc } from './libc.ts';

const PROT_READ_WRITE = 3;
const MAP_SHARED = 1;
const MAP_FIXED = 0x10;
const MAP_PRIVATE_ANONYMOUS = 0x22;
const PROT_NONE = 0;
const MADV_DONTNEED = 4;
const MADV_HUGEPAGE = 14;
const MADV_NOHUGEPAGE = 15;
const MADV_COLLAPSE = 25;
const { EAGAIN } = constants.errno;
const MAP_FAILED = 0xffff_ffff_ffff_ffffn;

/** Addresses of mapped buffers, so that a view into one can be handed to a system call without being copied. */
const baseByBuffer = new WeakMap<ArrayBuffer, bigint>();

export interface Mapping {
  readonly buffer: ArrayBuffer;
  /** After this, touching any view of the buffer is a crash of the process, not an exception. Idempotent. */
  unmap(): void;
}

function mapped(length: number, flags: number, fd: number, offset: number): Mapping {
  // A larger reservation holds an aligned place for certain; what lies around it is address space, not memory.
  const spare = length >= limits.HUGE_PAGE_BYTES ? limits.HUGE_PAGE_BYTES : 0;
  const reserved = libc.mmap(null, length + spare, PROT_NONE, MAP_PRIVATE_ANONYMOUS, -1, 0);
  if (reserved === MAP_FAILED) throw lastError('mmap');
  const mask = BigInt(Math.max(spare, 1) - 1);
  const place = (reserved + mask) & ~mask;
  const address = libc.mmap(place, length, PROT_READ_WRITE, flags | MAP_FIXED, fd, offset);
  if (address === MAP_FAILED) {
    const error = lastError('mmap');
    libc.munmap(reserved, length + spare);
    throw error;
  }
  const buffer = koffi.view(address, length);
  baseByBuffer.set(buffer, address);
  let live = true;
  return {
    buffer,
    unmap() {
      if (!live) return;
      live = false;
      baseByBuffer.delete(buffer);
      if (libc.munmap(reserved, length + spare) !== 0) throw lastError('munmap');
    },
  };
}

/**
 * Maps `length` bytes of an open file from `offset` on, shared with every process that maps it. Should it be cut short:
 * bus-error.ts.
 */
export function mapShared(fd: number, length: number, offset = 0): Mapping {
  watchBusErrors();
  return mapped(length, MAP_SHARED, fd, offset);
}

/**
 * Zeroed, page-aligned private memory: what O_DIRECT asks for. Of huge pages where it is large and the kernel has some;
 * of `small` ones, wherever they lie, for comparison.
 */
export function allocatePages(length: number, pages: 'huge' | 'small' = 'huge'): Mapping {
  const mapping = mapped(length, MAP_PRIVATE_ANONYMOUS, -1, 0);
  // Refused where the kernel has no huge pages: then they are small ones.
  if (length >= limits.HUGE_PAGE_BYTES) {
    const advice = pages === 'huge' ? MADV_HUGEPAGE : MADV_NOHUGEPAGE;
    libc.madvise(addressOf(new Uint8Array(mapping.buffer)), length, advice);
  }
  return mapping;
}

/**
 * Gives the pages under a view of private memory back; what is read there afterwards is zeros (madvise(2),
 * MADV_DONTNEED).
 */
export function discardPages(view: Uint8Array): void {
  if (libc.madvise(addressOf(view), view.byteLength, MADV_DONTNEED) !== 0) throw lastError('madvise');
}

/** `busy`: a transfer is using the pages, another try may succeed. `refused`: the kernel cannot, or has none left. */
export type Collapse = 'huge' | 'busy' | 'refused';

/**
 * Puts a huge page under a view that covers one, whatever is there now and whoever uses it meanwhile (madvise(2),
 * MADV_COLLAPSE, Linux 6.1). Nothing is lost when it does not work.
 */
export function collapsePages(view: Uint8Array): Collapse {
  if (libc.madvise(addressOf(view), view.byteLength, MADV_COLLAPSE) === 0) return 'huge';
  return lastErrno() === EAGAIN ? 'busy' : 'refused';
}

/**
 * The address of a view into mapped memory. Views of ordinary memory have none: the garbage collector may move them.
 */
export function addressOf(view: Uint8Array): bigint {
  const base = baseByBuffer.get(view.buffer as ArrayBuffer);
  assert(base !== undefined, 'only views of mapped memory have an address');
  return base + BigInt(view.byteOffset);
}

/** Whether a view lies in mapped memory, so that `addressOf` may be called. */
export function hasAddress(view: Uint8Array): boolean {
  return baseByBuffer.has(view.buffer as ArrayBuffer);
}
