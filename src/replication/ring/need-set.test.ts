// Goal: a need-set is a set. Method: the same operations on it and on a Set of numbers.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { NeedSet, nextInUnion } from './need-set.ts';

const BLOCKS_MAX = 140;

function makeSet(blockCount: number): NeedSet {
  return new NeedSet(new Int32Array(Math.ceil(blockCount / 64) * 2), blockCount);
}

function filled(blockCount: number, blocks: Iterable<number>): NeedSet {
  const set = makeSet(blockCount);
  for (const block of blocks) set.add(block);
  return set;
}

function members(set: NeedSet): number[] {
  const out: number[] = [];
  for (let block = set.next(0); block !== -1; block = set.next(block + 1)) out.push(block);
  return out;
}

const sizes = fc.integer({ min: 1, max: BLOCKS_MAX });
const operations = fc.array(
  fc.record({
    kind: fc.constantFrom('add', 'delete', 'addRange', 'deleteFrom', 'clear'),
    first: fc.nat({ max: BLOCKS_MAX }),
    second: fc.nat({ max: BLOCKS_MAX }),
  }),
  { maxLength: 20 },
);

describe('a need-set', () => {
  test('does what a set does', () => {
    fc.assert(
      fc.property(sizes, operations, (blockCount, steps) => {
        const set = makeSet(blockCount);
        const model = new Set<number>();
        for (const { kind, ...operands } of steps) {
          const first = operands.first % blockCount;
          const second = operands.second % (blockCount + 1);
          if (kind === 'add') {
            set.add(first);
            model.add(first);
          } else if (kind === 'delete') {
            expect(set.delete(first)).toBe(model.delete(first));
          } else if (kind === 'addRange') {
            set.addRange(first, second);
            for (let block = first; block < second; block++) model.add(block);
          } else if (kind === 'deleteFrom') {
            const gone = [...model].filter((block) => block >= first);
            expect(set.deleteFrom(first)).toBe(gone.length);
            for (const block of gone) model.delete(block);
          } else {
            set.clear();
            model.clear();
          }
          expect(members(set)).toEqual([...model].sort((a, b) => a - b));
          expect(set.count()).toBe(model.size);
          expect(set.has(first)).toBe(model.has(first));
        }
      }),
    );
  });

  test('the next block of a union is that of the nearest member, and below the end', () => {
    const blocks = fc.array(fc.nat({ max: BLOCKS_MAX - 1 }), { maxLength: 8 });
    fc.assert(
      fc.property(
        fc.array(blocks, { maxLength: 4 }),
        fc.nat({ max: BLOCKS_MAX }),
        fc.nat({ max: BLOCKS_MAX }),
        (all, from, to) => {
          const sets = all.map((one) => filled(BLOCKS_MAX, one));
          const wanted = all.flat().filter((block) => block >= from && block < to);
          expect(nextInUnion(sets, from, to)).toBe(wanted.length === 0 ? -1 : Math.min(...wanted));
        },
      ),
    );
  });

  test('refuses memory that has no bit for every block', () => {
    expect(() => new NeedSet(new Int32Array(1), 33)).toThrow('a bit for every block');
  });
});
