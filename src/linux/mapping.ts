// Memory that the kernel can read and write directly: shared-memory files and private page-aligned buffers.

import koffi from 'koffi';
import { assert } from '../base/mod.ts';
import { lastError, libc } from './libc.ts';

const PROT_READ_WRITE = 3;
const MAP_SHARED = 1;
const MAP_PRIVATE_ANONYMOUS = 0x22;
const MAP_FAILED = 0xffff_ffff_ffff_ffffn;

/** Addresses of mapped buffers, so that a view into one can be handed to a system call without being copied. */
const baseByBuffer = new WeakMap<ArrayBuffer, bigint>();

export interface Mapping {
  readonly buffer: ArrayBuffer;
  /** After this, touching any view of the buffer is a crash of the process, not an exception. Idempotent. */
  unmap(): void;
}

function mapped(address: bigint, length: number): Mapping {
  if (address === MAP_FAILED) throw lastError('mmap');
  const buffer = koffi.view(address, length);
  baseByBuffer.set(buffer, address);
  let live = true;
  return {
    buffer,
    unmap() {
      if (!live) return;
      live = false;
      baseByBuffer.delete(buffer);
      if (libc.munmap(address, length) !== 0) throw lastError('munmap');
    },
  };
}

/** Maps the first `length` bytes of an open file, shared with every process that maps it. */
export function mapShared(fd: number, length: number): Mapping {
  return mapped(libc.mmap(null, length, PROT_READ_WRITE, MAP_SHARED, fd, 0), length);
}

/** Zeroed, page-aligned private memory: what O_DIRECT asks for. */
export function allocatePages(length: number): Mapping {
  return mapped(libc.mmap(null, length, PROT_READ_WRITE, MAP_PRIVATE_ANONYMOUS, -1, 0), length);
}

/** The address of a view into mapped memory. Views of ordinary memory have none: the garbage collector may move them. */
export function addressOf(view: Uint8Array): bigint {
  const base = baseByBuffer.get(view.buffer as ArrayBuffer);
  assert(base !== undefined, 'only views of mapped memory have an address');
  return base + BigInt(view.byteOffset);
}

/** Whether a view lies in mapped memory, so that `addressOf` may be called. */
export function hasAddress(view: Uint8Array): boolean {
  return baseByBuffer.has(view.buffer as ArrayBuffer);
}
