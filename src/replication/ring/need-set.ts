// A need-set: the blocks that a consumer still wants, one bit each. Bits are set before its consumer registers, and
// cleared by its consumer, after the block is on the target. Its consumer sets one again when the target lost the block.
//
// 32-bit words are written with Atomics: two threads never write the same word of one set, but the producer reads it
// while its consumer clears bits.
import { assert } from '../../base/mod.ts';

export class NeedSet {
  readonly words: Int32Array;
  readonly blockCount: number;

  /** `words` holds at least blockCount bits. */
  constructor(words: Int32Array, blockCount: number) {
    assert(words.length * 32 >= blockCount, 'a bit for every block');
    this.words = words;
    this.blockCount = blockCount;
  }

  has(block: number): boolean {
    return ((Atomics.load(this.words, block >>> 5) >>> (block & 31)) & 1) === 1;
  }

  add(block: number): void {
    Atomics.or(this.words, block >>> 5, 1 << (block & 31));
  }

  /** Returns whether the bit was set. */
  delete(block: number): boolean {
    const bit = 1 << (block & 31);
    return (Atomics.and(this.words, block >>> 5, ~bit) & bit) !== 0;
  }

  clear(): void {
    for (let word = 0; word < this.words.length; word++) Atomics.store(this.words, word, 0);
  }

  /** Sets the bits [from, to). */
  addRange(from: number, to: number): void {
    let block = from;
    for (; block < to && (block & 31) !== 0; block++) this.add(block);
    for (; block + 32 <= to; block += 32) Atomics.store(this.words, block >>> 5, -1);
    for (; block < to; block++) this.add(block);
  }

  /** Clears the bits from `from` on; returns how many were set. */
  deleteFrom(from: number): number {
    let removed = 0;
    for (let block = this.next(from); block !== -1; block = this.next(block + 1)) {
      this.delete(block);
      removed += 1;
    }
    return removed;
  }

  count(): number {
    let total = 0;
    for (let index = 0; index < this.words.length; index++) total += bitCount(Atomics.load(this.words, index));
    return total;
  }

  /** The first set bit at or after `from`, or -1. */
  next(from: number): number {
    return nextInUnion([this], from, this.blockCount);
  }
}

function bitCount(word: number): number {
  let w = word - ((word >>> 1) & 0x5555_5555);
  w = (w & 0x3333_3333) + ((w >>> 2) & 0x3333_3333);
  return Math.imul((w + (w >>> 4)) & 0x0f0f_0f0f, 0x0101_0101) >>> 24;
}

/** The first block in [from, to) that any of the sets holds, or -1. Looks at 32 blocks of all sets at a time. */
export function nextInUnion(sets: readonly NeedSet[], from: number, to: number): number {
  if (from >= to) return -1;
  let index = from >>> 5;
  let mask = -1 << (from & 31);
  const last = (to - 1) >>> 5;
  while (index <= last) {
    let word = 0;
    for (const set of sets) word |= Atomics.load(set.words, index);
    word &= mask;
    if (word !== 0) {
      const block = index * 32 + (31 - Math.clz32(word & -word));
      return block < to ? block : -1;
    }
    mask = -1;
    index += 1;
  }
  return -1;
}
