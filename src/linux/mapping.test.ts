// Huge pages are an offer to the kernel: whatever it answers, memory holds what it held.
import { closeSync, ftruncateSync, openSync, rmSync } from 'node:fs';
import { afterEach, expect, test } from 'vitest';
import { limits, seededRandom } from '../base/mod.ts';
import { reserveSpace } from './file.ts';
import { addressOf, allocatePages, collapsePages, type Mapping, mapShared } from './mapping.ts';

const undo: (() => void)[] = [];

afterEach(() => {
  for (const step of undo.splice(0).reverse()) step();
});

function kept(mapping: Mapping): Uint8Array {
  undo.push(() => mapping.unmap());
  return new Uint8Array(mapping.buffer);
}

function memoryFile(lengthBytes: number): number {
  const path = `/dev/shm/understudy-mapping-test-${process.pid}`;
  const fd = openSync(path, 'w+', 0o600);
  undo.push(() => {
    closeSync(fd);
    rmSync(path);
  });
  ftruncateSync(fd, lengthBytes);
  return fd;
}

test.each(['huge', 'small'] as const)(
  'pages - large memory of %s pages is zeroed and begins at a huge page',
  (pages) => {
    const view = kept(allocatePages(2 * limits.HUGE_PAGE_BYTES + limits.PAGE_BYTES, pages));
    expect(addressOf(view) % BigInt(limits.HUGE_PAGE_BYTES)).toBe(0n);
    expect(view.every((byte) => byte === 0)).toBe(true);
    view.fill(7);
  },
);

test('pages - a range of shared memory keeps what it holds when it becomes a huge page, in every mapping', () => {
  const fd = memoryFile(3 * limits.HUGE_PAGE_BYTES);
  reserveSpace(fd, 0, 2 * limits.HUGE_PAGE_BYTES);
  // The last range has one small page in it, as a ring has at its start.
  reserveSpace(fd, 2 * limits.HUGE_PAGE_BYTES, limits.PAGE_BYTES);
  const [mine, other] = [
    kept(mapShared(fd, 3 * limits.HUGE_PAGE_BYTES)),
    kept(mapShared(fd, 3 * limits.HUGE_PAGE_BYTES)),
  ];
  const random = seededRandom(5);
  for (let at = 0; at < 2 * limits.HUGE_PAGE_BYTES; at += 997) mine[at] = random.below(256);
  const before = Buffer.from(mine);
  for (let index = 0; index < 3; index++) {
    const range = mine.subarray(index * limits.HUGE_PAGE_BYTES, (index + 1) * limits.HUGE_PAGE_BYTES);
    expect(['huge', 'busy', 'refused']).toContain(collapsePages(range));
  }
  expect(Buffer.compare(mine, before)).toBe(0);
  expect(Buffer.compare(other, before)).toBe(0);
  other[limits.HUGE_PAGE_BYTES] = 1;
  expect(mine[limits.HUGE_PAGE_BYTES]).toBe(1);
});

test('pages - a mapping may begin inside of the file, and is unmapped once however often that is asked for', () => {
  const fd = memoryFile(2 * limits.HUGE_PAGE_BYTES);
  const whole = kept(mapShared(fd, 2 * limits.HUGE_PAGE_BYTES));
  const part = mapShared(fd, limits.HUGE_PAGE_BYTES, limits.HUGE_PAGE_BYTES);
  new Uint8Array(part.buffer)[3] = 9;
  expect(whole[limits.HUGE_PAGE_BYTES + 3]).toBe(9);
  part.unmap();
  part.unmap();
});
