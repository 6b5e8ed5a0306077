import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { codeOf, limits } from '../../base/mod.ts';
import type { Device, Extent } from '../device/contract.ts';
import { offsetsOf, Ring } from '../ring/mod.ts';
import { chooseGeometry, mapZeros } from './initialise.ts';

function failureOf(work: () => unknown): string | null {
  try {
    work();
    return null;
  } catch (error) {
    return codeOf(error);
  }
}

describe('chooseGeometry', () => {
  const pages = fc.integer({
    min: limits.BLOCK_BYTES_MIN / limits.PAGE_BYTES,
    max: limits.BLOCK_BYTES_MAX / limits.PAGE_BYTES,
  });
  const blockSizes = fc.option(
    pages.map((count) => count * limits.PAGE_BYTES),
    { nil: null },
  );
  const sources = fc.record({ sizeBytes: fc.integer({ min: 1, max: 2 ** 36 }), cached: fc.boolean() });
  const buffers = fc.option(fc.integer({ min: 1, max: 2 ** 34 }), { nil: null });

  test('holds every block, within the limits and the buffer, and no more than the image can use', () => {
    fc.assert(
      fc.property(sources, blockSizes, buffers, ({ sizeBytes, cached }, blockBytes, bufferBytes) => {
        const geometry = chooseGeometry({ sizeBytes, cached }, { blockBytes, bufferBytes });
        const { slotCount, blockCapacity } = geometry;
        expect(geometry.blockBytes).toBe(blockBytes ?? limits.BLOCK_BYTES_DEFAULT);
        expect(blockCapacity).toBe(Math.ceil(sizeBytes / geometry.blockBytes));
        expect(Number.isInteger(Math.log2(slotCount))).toBe(true);
        expect(slotCount).toBeGreaterThanOrEqual(limits.SLOTS_MIN);
        expect(slotCount).toBeLessThanOrEqual(limits.SLOTS_MAX);
        if (slotCount > limits.SLOTS_MIN) {
          const ringBytes = cached ? limits.RING_BYTES_CACHED : limits.RING_BYTES_DEFAULT;
          expect(slotCount * geometry.blockBytes).toBeLessThanOrEqual(bufferBytes ?? ringBytes);
          expect(slotCount).toBeLessThanOrEqual(2 * blockCapacity);
        }
      }),
    );
  });

  test('refuses what is empty and what has more blocks than a ring can number', () => {
    const wishes = { blockBytes: limits.BLOCK_BYTES_MIN, bufferBytes: null };
    const most = limits.BLOCKS_MAX * limits.BLOCK_BYTES_MIN;
    expect(failureOf(() => chooseGeometry({ sizeBytes: 0, cached: false }, wishes))).toBe('SOURCE_EMPTY');
    expect(failureOf(() => chooseGeometry({ sizeBytes: most, cached: false }, wishes))).toBe(null);
    expect(failureOf(() => chooseGeometry({ sizeBytes: most + 1, cached: false }, wishes))).toBe('SOURCE_TOO_LARGE');
  });

  test('a source in the page cache gets a ring that the processor can keep, unless another was asked for', () => {
    const bytes = (cached: boolean, bufferBytes: number | null): number => {
      const geometry = chooseGeometry({ sizeBytes: 2 ** 32, cached }, { blockBytes: null, bufferBytes });
      return geometry.slotCount * geometry.blockBytes;
    };
    expect(bytes(true, null)).toBe(limits.RING_BYTES_CACHED);
    expect(bytes(false, null)).toBe(limits.RING_BYTES_DEFAULT);
    expect(bytes(true, limits.RING_BYTES_DEFAULT)).toBe(limits.RING_BYTES_DEFAULT);
  });

  test('a stream gets room for as many blocks as one may have', () => {
    const geometry = chooseGeometry({ sizeBytes: null, cached: false }, { blockBytes: null, bufferBytes: null });
    expect(geometry.blockCapacity).toBe(limits.BLOCKS_MAX_UNKNOWN);
  });
});

describe('mapZeros', () => {
  const BLOCK_BYTES = 4096;

  function deviceWith(sizeBytes: number, extents: readonly Extent[] | null): Device {
    const unused = (): never => {
      throw new Error('only extents are asked for');
    };
    return {
      info: { uri: 'x', identity: 'x', sizeBytes, access: 'random', alignmentBytes: 1, depth: 1, cached: false },
      submit: unused,
      reap: unused,
      zero: unused,
      flush: unused,
      extents: () => extents,
      fingerprint: unused,
      close: unused,
    };
  }

  function zeroBlocks(sizeBytes: number, extents: readonly Extent[] | null): boolean[] {
    const geometry = { blockBytes: BLOCK_BYTES, blockCapacity: Math.ceil(sizeBytes / BLOCK_BYTES), slotCount: 4 };
    const ring = new Ring(new ArrayBuffer(offsetsOf(geometry).totalBytes), geometry, { wait() {}, wakeAll() {} });
    mapZeros(ring, deviceWith(sizeBytes, extents));
    return Array.from({ length: geometry.blockCapacity }, (_, block) => ring.zeroMap.has(block));
  }

  test('marks exactly the blocks whose every byte lies in extents of zeros', () => {
    const extents = fc.array(
      fc.record({
        zero: fc.boolean(),
        lengthBytes: fc.oneof(
          fc.integer({ min: 1, max: 3 * BLOCK_BYTES }),
          fc.integer({ min: 1, max: 4 }).map((blocks) => blocks * BLOCK_BYTES),
        ),
      }),
      { minLength: 1, maxLength: 12 },
    );
    fc.assert(
      fc.property(extents, fc.boolean(), (lengths, isCutShort) => {
        let at = 0;
        const list: Extent[] = [];
        for (const { zero, lengthBytes } of lengths) {
          list.push({ offsetBytes: at, lengthBytes, zero });
          at += lengthBytes;
        }
        // A server may tell of a part only; nothing is known of the rest.
        const sizeBytes = isCutShort ? at + 3 * BLOCK_BYTES : at;
        const isZero = (byte: number): boolean =>
          list.some((one) => one.zero && byte >= one.offsetBytes && byte < one.offsetBytes + one.lengthBytes);
        const wanted = zeroBlocks(sizeBytes, list).map((_, block) => {
          const to = Math.min((block + 1) * BLOCK_BYTES, sizeBytes);
          for (let byte = block * BLOCK_BYTES; byte < to; byte++) if (!isZero(byte)) return false;
          return true;
        });
        expect(zeroBlocks(sizeBytes, list)).toEqual(wanted);
      }),
      { numRuns: 60 },
    );
  });

  test('marks nothing where the device cannot tell', () => {
    expect(zeroBlocks(3 * BLOCK_BYTES, null)).toEqual([false, false, false]);
  });
});
