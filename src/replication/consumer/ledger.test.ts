// Goal: whatever order blocks come in, the digest of the whole image is that of its bytes, and a snapshot can be
// adopted.
import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Digest, offsetsOf, Ring } from '../ring/mod.ts';
import { Ledger } from './ledger.ts';

const BLOCK_BYTES = 4096;

function digestOf(data: Uint8Array): Digest {
  const hash = createHash('md5').update(data).digest();
  return { lo: hash.readBigUInt64LE(0), hi: hash.readBigUInt64LE(8) };
}

function makeRing(sizeBytes: number): Ring {
  const geometry = { blockBytes: BLOCK_BYTES, blockCapacity: Math.ceil(sizeBytes / BLOCK_BYTES), slotCount: 4 };
  const ring = new Ring(new ArrayBuffer(offsetsOf(geometry).totalBytes), geometry, { wait() {}, wakeAll() {} });
  ring.setDouble('sourceBytes', sizeBytes);
  ring.set('blockCount', geometry.blockCapacity);
  ring.set('sizeKnown', 1);
  return ring;
}

/** An image of random bytes with some blocks of zeros, an order of its other blocks, and where it is cut. */
const images = fc
  .record({
    sizeBytes: fc.integer({ min: 1, max: 10 * BLOCK_BYTES }),
    seed: fc.nat({ max: 250 }),
    zeros: fc.array(fc.nat({ max: 9 }), { maxLength: 6 }),
    order: fc.shuffledSubarray([0, 1, 2, 3, 4, 5, 6, 7, 8, 9], { minLength: 10 }),
    endShare: fc.double({ min: 0, max: 1, noNaN: true }),
  })
  .map(({ sizeBytes, seed, zeros, order, endShare }) => {
    const endBytes = 1 + Math.floor(endShare * (sizeBytes - 1));
    const blockCount = Math.ceil(endBytes / BLOCK_BYTES);
    const zeroBlocks = new Set(zeros.filter((block) => block < blockCount));
    const content = new Uint8Array(sizeBytes).map((_, at) => {
      return zeroBlocks.has(Math.floor(at / BLOCK_BYTES)) ? 0 : 1 + ((at * 7 + seed + (at >>> 8)) % 255);
    });
    const written = order.filter((block) => block < blockCount && !zeroBlocks.has(block));
    return { content, endBytes, blockCount, zeroBlocks, written };
  });

function bytesOf(content: Uint8Array, block: number, endBytes: number): Uint8Array {
  return content.subarray(block * BLOCK_BYTES, Math.min((block + 1) * BLOCK_BYTES, endBytes));
}

describe('the ledger', () => {
  test('takes the digest of the whole image, in whatever order its blocks come', () => {
    fc.assert(
      fc.property(images, ({ content, endBytes, blockCount, zeroBlocks, written }) => {
        const ring = makeRing(content.byteLength);
        const ledger = new Ledger(ring, endBytes, digestOf, true);
        for (const block of zeroBlocks) ledger.zeros.add(block);
        for (const block of written) {
          const data = bytesOf(content, block, endBytes);
          // The ring knows digests of whole blocks; a cut one has its own.
          ring.setDigest(block, digestOf(bytesOf(content, block, content.byteLength)));
          expect(ledger.blockWritten(block, data, false, () => true)).toBe(true);
          expect(ledger.digest(block)).toEqual(digestOf(data));
        }
        const readBack: number[] = [];
        const hex = ledger.wholeDigest(blockCount, (block) => {
          readBack.push(block);
          return bytesOf(content, block, endBytes);
        });
        expect(hex).toBe(createHash('sha256').update(content.subarray(0, endBytes)).digest('hex'));
        expect(readBack.some((block) => zeroBlocks.has(block))).toBe(false);
        const inOrder = written.every((block, index) => index === 0 || block > (written[index - 1] ?? 0));
        if (inOrder) expect(readBack).toEqual([]);
        const bytes = written.reduce((sum, block) => sum + ledger.lengthOf(block), 0);
        expect(ledger.bytesCopied).toBe(bytes);
        expect(ledger.bytesCopied + ledger.bytesZeroed).toBe(endBytes);
      }),
      { numRuns: 200 },
    );
  });

  test('does not count a block whose digest it took from bytes that were overwritten meanwhile', () => {
    const ledger = new Ledger(makeRing(BLOCK_BYTES), BLOCK_BYTES, digestOf, true);
    expect(ledger.blockWritten(0, new Uint8Array(BLOCK_BYTES), false, () => false)).toBe(false);
    expect([ledger.done.count(), ledger.bytesCopied]).toEqual([0, 0]);
  });

  test('does not hash bytes that were overwritten while it read them, and reads them back instead', () => {
    const ring = makeRing(BLOCK_BYTES);
    const data = new Uint8Array(BLOCK_BYTES).fill(7);
    ring.setDigest(0, digestOf(data));
    const ledger = new Ledger(ring, BLOCK_BYTES, digestOf, true);
    // The digest of the ring is right whatever has become of the slot: the write was complete before.
    expect(ledger.blockWritten(0, new Uint8Array(BLOCK_BYTES).fill(9), false, () => false)).toBe(true);
    expect(ledger.wholeDigest(1, () => data)).toBe(createHash('sha256').update(data).digest('hex'));
  });

  test('takes a block into the digest as it is on the target in the end: unreadable first, readable when it came again', () => {
    const image = new Uint8Array(2 * BLOCK_BYTES).fill(7);
    const ledger = new Ledger(makeRing(image.byteLength), image.byteLength, digestOf, true);
    ledger.blockWritten(0, new Uint8Array(BLOCK_BYTES), true, () => true);
    ledger.forget(0);
    ledger.blockWritten(0, bytesOf(image, 0, image.byteLength), false, () => true);
    ledger.blockWritten(1, bytesOf(image, 1, image.byteLength), false, () => true);
    const hex = ledger.wholeDigest(2, (block) => bytesOf(image, block, image.byteLength));
    expect(hex).toBe(createHash('sha256').update(image).digest('hex'));
  });

  test('adopts what another one wrote down', () => {
    fc.assert(
      fc.property(images, ({ content, endBytes, blockCount, written }) => {
        const ring = makeRing(content.byteLength);
        const before = new Ledger(ring, endBytes, digestOf, false);
        for (const block of written) before.blockWritten(block, bytesOf(content, block, endBytes), false, () => true);
        const after = new Ledger(ring, endBytes, digestOf, false);
        after.adopt({
          version: 2,
          target: '',
          missingCount: 0,
          sourceIdentity: '',
          fingerprint: '',
          sourceBytes: content.byteLength,
          endBytes,
          blockBytes: BLOCK_BYTES,
          blockCount,
          ...before.snapshot(blockCount),
        });
        for (let block = 0; block < blockCount; block++) {
          expect(after.done.has(block)).toBe(written.includes(block));
          expect(after.digest(block)).toEqual(before.digest(block));
        }
      }),
      { numRuns: 100 },
    );
  });

  test('records nothing that is held back, adopts nothing of it, and forgets what was lost', () => {
    const ring = makeRing(4 * BLOCK_BYTES);
    const ledger = new Ledger(ring, 4 * BLOCK_BYTES, digestOf, false);
    ledger.unrecorded.add(0);
    for (let block = 0; block < 4; block++) {
      ledger.blockWritten(block, new Uint8Array(BLOCK_BYTES).fill(block + 1), false, () => true);
    }
    expect(ledger.snapshot(4).done).toEqual(new Uint8Array([0b1110]));
    ledger.forget(2);
    const { done, digests } = ledger.snapshot(4);
    expect(done).toEqual(new Uint8Array([0b1010]));
    expect(ledger.bytesCopied).toBe(3 * BLOCK_BYTES);

    const resumed = new Ledger(ring, 4 * BLOCK_BYTES, digestOf, false);
    resumed.unrecorded.add(3);
    const head = {
      version: 2,
      target: '',
      missingCount: 0,
      sourceIdentity: '',
      fingerprint: '',
      sourceBytes: 0,
      endBytes: 0,
    };
    resumed.adopt({ ...head, blockBytes: BLOCK_BYTES, blockCount: 4, done, digests });
    expect([0, 1, 2, 3].filter((block) => resumed.done.has(block))).toEqual([1]);
    resumed.reuse(1);
    expect(resumed.bytesReused).toBe(BLOCK_BYTES);
    resumed.forget(1);
    expect([resumed.bytesReused, resumed.bytesCopied]).toEqual([0, 0]);
  });
});
