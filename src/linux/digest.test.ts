// The digest is that of the XXH3-128 that everybody knows, whichever of the library's functions computes it on this processor, and
// whether bytes come at once or in pieces.
import koffi from 'koffi';
import { afterAll, describe, expect, test } from 'vitest';
import { addressOf, allocatePages, Digester, digestOf } from './mod.ts';

const MEMORY_BYTES = 2 * 1024 * 1024;
// XXH3 goes other ways up to 16, 128 and 240 bytes, then by stripes of 64 and blocks of 1024.
const LENGTHS = [0, 1, 3, 4, 8, 9, 16, 17, 128, 129, 240, 241, 1023, 1024, 1025, 4096, MEMORY_BYTES - 3];
const PIECES = [[1], [63, 1, 64], [1000, 24, 1024 * 1024], [4096, 256]];

const memory = allocatePages(MEMORY_BYTES);
const bytes = new Uint8Array(memory.buffer);
for (let at = 0, state = 1; at < bytes.length; at++) {
  state = Math.imul(state, 1_664_525) + 1_013_904_223;
  bytes[at] = state >>> 24;
}
afterAll(() => memory.unmap());

const words = koffi.struct({ lo: 'uint64_t', hi: 'uint64_t' });
/** The function that is compiled for every processor of the architecture. */
const everywhere = koffi.load('libxxhash.so.0').func('XXH3_128bits', words, ['void*', 'size_t']);

function hexOf({ lo, hi }: { lo: bigint | number; hi: bigint | number }): string {
  return [hi, lo].map((word) => BigInt(word).toString(16).padStart(16, '0')).join('');
}

describe('digestOf', () => {
  test('of nothing is the constant that the specification implies', () => {
    expect(hexOf(digestOf(bytes.subarray(0, 0)))).toBe('99aa06d3014798d86001c324468d497f');
  });

  test.each(LENGTHS)('of %i bytes is what the portable function says', (length) => {
    const view = bytes.subarray(3, 3 + length);
    expect(hexOf(digestOf(view))).toBe(hexOf(everywhere(addressOf(view), length)));
  });
});

describe('Digester', () => {
  test.each(PIECES)('in pieces of %i bytes and so on gives the digest of all', (...pieces) => {
    for (const length of [5, 257, 100_000, MEMORY_BYTES]) {
      const digester = new Digester();
      for (let at = 0, turn = 0; at < length; turn++) {
        const end = Math.min(length, at + (pieces[turn % pieces.length] ?? 1));
        digester.add(bytes.subarray(at, end));
        at = end;
        // One byte at a time over two million of them says no more than over some.
        if (pieces.length === 1 && at === 1000) {
          digester.add(bytes.subarray(at, length));
          break;
        }
      }
      expect(digester.hex()).toBe(hexOf(digestOf(bytes.subarray(0, length))));
      digester.close();
    }
  });
});
