// The layout, and the ring as typed views over ordinary memory.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { limits } from '../../base/mod.ts';
import {
  BAD_RANGE_BYTES,
  DIGEST_BYTES,
  ENTRY_BYTES,
  ENTRY_NAME_BYTES,
  type Geometry,
  HEADER_BYTES,
  offsetsOf,
  SLOT_ENTRY_BYTES,
  sequenceDelta,
} from './layout.ts';
import { type BadRange, Ring } from './ring.ts';

const geometries: fc.Arbitrary<Geometry> = fc.record({
  blockBytes: fc.integer({ min: 1, max: 4 }).map((pages) => pages * limits.PAGE_BYTES),
  blockCapacity: fc.integer({ min: 1, max: 5000 }),
  slotCount: fc.integer({ min: 2, max: 5 }).map((power) => 2 ** power),
});

function makeRing(geometry: Geometry): Ring {
  const silent = { wait() {}, wakeAll() {} };
  return new Ring(new ArrayBuffer(offsetsOf(geometry).totalBytes), geometry, silent);
}

describe('the layout', () => {
  test('has room for everything, in order, aligned, and nothing twice', () => {
    fc.assert(
      fc.property(geometries, (geometry) => {
        const at = offsetsOf(geometry);
        const bitmaps = at.bitmapBytes;
        const parts = [
          { from: 0, bytes: HEADER_BYTES },
          { from: at.consumersAt, bytes: limits.CONSUMERS_MAX * ENTRY_BYTES },
          { from: at.badRangesAt, bytes: limits.BAD_RANGES_MAX * BAD_RANGE_BYTES },
          { from: at.slotsAt, bytes: geometry.slotCount * SLOT_ENTRY_BYTES },
          { from: at.zeroMapAt, bytes: bitmaps },
          { from: at.digestsAt, bytes: geometry.blockCapacity * DIGEST_BYTES },
          { from: at.needSetsAt, bytes: limits.CONSUMERS_MAX * bitmaps },
          { from: at.dataAt, bytes: geometry.slotCount * geometry.blockBytes },
        ];
        let end = 0;
        for (const part of parts) {
          expect(part.from).toBeGreaterThanOrEqual(end);
          expect(part.from % limits.PAGE_BYTES).toBe(0);
          end = part.from + part.bytes;
        }
        expect(at.totalBytes).toBe(end);
        expect(bitmaps * 8).toBeGreaterThanOrEqual(geometry.blockCapacity);
        expect(bitmaps % 8).toBe(0);
      }),
    );
  });

  test('two sequences of one ring compare right, also where the counter wraps', () => {
    const anywhere = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 });
    fc.assert(
      fc.property(anywhere, fc.integer({ min: -(2 ** 30), max: 2 ** 30 }), (sequence, distance) => {
        expect(sequenceDelta((sequence + distance) | 0, sequence)).toBe(distance);
      }),
    );
  });
});

describe('the ring', () => {
  test('keeps every part apart from every other', () => {
    fc.assert(
      fc.property(geometries, fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }), (geometry, sequence) => {
        const ring = makeRing(geometry);
        const { slotCount, blockBytes, blockCapacity } = geometry;
        const last = blockCapacity - 1;
        for (let slot = 0; slot < slotCount; slot++) {
          const one = (sequence + slot) | 0;
          ring.setSlotEntry({
            sequence: one,
            block: slot % blockCapacity,
            flags: 3,
            lengthBytes: blockBytes,
            digestLo: 7n ** 22n,
          });
          ring.slotData(one, blockBytes).fill(slot + 1);
        }
        ring.setDigest(last, { lo: 2n ** 64n - 1n, hi: 0n });
        ring.zeroMap.add(last);
        for (const entry of ring.entries) {
          entry.set('cursor', entry.index - 32);
          entry.name = 'x'.repeat(600);
          if (entry.index % 2 === 1) ring.needSet(entry.index).add(last);
        }
        for (let slot = 0; slot < slotCount; slot++) {
          const one = (sequence + slot) | 0;
          expect(ring.slotEntry(one)).toEqual({
            ...{ sequence: one, block: slot % blockCapacity, flags: 3, lengthBytes: blockBytes },
            ...{ digestLo: BigInt.asUintN(64, 7n ** 22n), isWhole: true },
          });
          expect(ring.slotData(one, blockBytes).every((byte) => byte === slot + 1)).toBe(true);
        }
        expect(ring.digest(last)).toEqual({ lo: 2n ** 64n - 1n, hi: 0n });
        expect(ring.digest(0)).toEqual(last === 0 ? ring.digest(last) : null);
        expect(ring.zeroMap.count()).toBe(1);
        for (const entry of ring.entries) {
          expect(entry.get('cursor')).toBe(entry.index - 32);
          expect(entry.name).toBe('x'.repeat(ENTRY_NAME_BYTES));
          expect(ring.needSet(entry.index).count()).toBe(entry.index % 2);
        }
      }),
      { numRuns: 20 },
    );
  });

  test('tells texts as they were written, cut where there is no room', () => {
    const ring = makeRing({ blockBytes: 4096, blockCapacity: 1, slotCount: 4 });
    ring.setText('failure', 'SOURCE_CHANGED ä'.repeat(100));
    ring.setText('sourceUri', 'nbd://host/export');
    expect(ring.getText('failure').startsWith('SOURCE_CHANGED äSOURCE')).toBe(true);
    expect(ring.getText('sourceUri')).toBe('nbd://host/export');
  });
});

describe('the table of unreadable ranges', () => {
  const PIECE_BYTES = 65_536;

  test('lists each byte once, however often and in whatever order blocks are read', () => {
    fc.assert(
      fc.property(fc.array(fc.nat({ max: 20 }), { maxLength: 60 }), (pieces) => {
        const ring = makeRing({ blockBytes: 4096, blockCapacity: 1, slotCount: 4 });
        for (const piece of pieces) ring.addBadRange({ offsetBytes: piece * PIECE_BYTES, lengthBytes: PIECE_BYTES });
        const listed = ring.badRanges().flatMap(({ offsetBytes, lengthBytes }) => {
          const first = offsetBytes / PIECE_BYTES;
          return Array.from({ length: lengthBytes / PIECE_BYTES }, (_, index) => first + index);
        });
        expect(listed.sort((a, b) => a - b)).toEqual([...new Set(pieces)].sort((a, b) => a - b));
      }),
    );
  });

  test('full, it loses none: the last range grows over what follows', () => {
    const ring = makeRing({ blockBytes: 4096, blockCapacity: 1, slotCount: 4 });
    const ranges: BadRange[] = Array.from({ length: limits.BAD_RANGES_MAX + 10 }, (_, index) => {
      return { offsetBytes: index * 3 * PIECE_BYTES, lengthBytes: PIECE_BYTES };
    });
    for (const range of ranges) ring.addBadRange(range);
    const listed = ring.badRanges();
    expect(listed.length).toBe(limits.BAD_RANGES_MAX);
    for (const range of ranges) {
      const end = range.offsetBytes + range.lengthBytes;
      const covered = listed.some((one) => {
        return one.offsetBytes <= range.offsetBytes && one.offsetBytes + one.lengthBytes >= end;
      });
      expect(covered).toBe(true);
    }
  });
});
