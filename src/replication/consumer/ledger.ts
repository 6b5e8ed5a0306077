// What one target has: which blocks are written, the digest that each must have, which ranges are zeros, and the digest
// of the whole image as far as it could be taken in order. Resume records, verification and results all read from here.
import type { Hash } from 'node:crypto';
import { assert, sha256 } from '../../base/mod.ts';
import { type Digest, NeedSet, type Ring } from '../ring/mod.ts';
import type { ResumeRecord } from '../target/mod.ts';
import type { BlockObserver } from './core.ts';

/** Zeros are hashed in pieces of this size. */
const ZEROS = new Uint8Array(1024 * 1024);

export class Ledger implements BlockObserver {
  /** Blocks on the target. */
  readonly done: NeedSet;
  /** Blocks that are made zeros and never come through the ring. */
  readonly zeros: NeedSet;
  /** Blocks that are on the target only once the copy ends: in no record they count as done. */
  readonly unrecorded = new Set<number>();
  bytesCopied = 0;
  bytesReused = 0;
  /** Blocks that count in bytesCopied, and in bytesReused. */
  readonly #copied: NeedSet;
  readonly #reused: NeedSet;
  readonly #ring: Ring;
  readonly #endBytes: number;
  readonly #digests: BigUint64Array;
  readonly #digestOf: (data: Uint8Array) => Digest;
  #hash: Hash | null;
  /** First block that is not in #hash yet. */
  #frontier = 0;

  constructor(ring: Ring, endBytes: number, digestOf: (data: Uint8Array) => Digest, wholeDigest: boolean) {
    const { blockCapacity } = ring.geometry;
    const words = Math.ceil(blockCapacity / 64) * 2;
    this.done = new NeedSet(new Int32Array(words), blockCapacity);
    this.zeros = new NeedSet(new Int32Array(words), blockCapacity);
    this.#copied = new NeedSet(new Int32Array(words), blockCapacity);
    this.#reused = new NeedSet(new Int32Array(words), blockCapacity);
    this.#ring = ring;
    this.#endBytes = endBytes;
    this.#digests = new BigUint64Array(blockCapacity * 2);
    this.#digestOf = digestOf;
    this.#hash = wholeDigest ? sha256() : null;
  }

  /** Bytes of a block that this target gets. */
  lengthOf(block: number): number {
    return Math.min(this.#ring.blockLength(block), this.#endBytes - block * this.#ring.geometry.blockBytes);
  }

  blockWritten(block: number, data: Uint8Array, bad: boolean, intact: () => boolean): boolean {
    const ofRing = bad || data.byteLength !== this.#ring.blockLength(block) ? null : this.#ring.digest(block);
    const digest = ofRing ?? this.#digestOf(data);
    if (ofRing === null && !intact()) return false;
    this.#unhash(block, digest);
    this.setDigest(block, digest);
    this.done.add(block);
    this.#copied.add(block);
    this.bytesCopied += data.byteLength;
    this.#hashInOrder(block, data, intact);
    return true;
  }

  /** A block of a resume record needs no copy. */
  reuse(block: number): void {
    this.#reused.add(block);
    this.bytesReused += this.lengthOf(block);
  }

  /**
   * A block that was done is not on the target after all. Its digest stays: what comes instead has to be the same,
   * unless it could not be read before.
   */
  forget(block: number): void {
    assert(this.done.delete(block), 'a block that was done');
    if (this.#reused.delete(block)) this.bytesReused -= this.lengthOf(block);
    if (this.#copied.delete(block)) this.bytesCopied -= this.lengthOf(block);
  }

  /** Takes a block into the whole digest when it is the next one; others are read back from the target at the end. */
  #hashInOrder(block: number, data: Uint8Array, intact: () => boolean): void {
    if (this.#hash === null) return;
    this.#hashZeros();
    if (block !== this.#frontier) return;
    const next = this.#hash.copy().update(data);
    if (!intact()) return;
    this.#hash = next;
    this.#frontier += 1;
  }

  /** Another content than the one that was taken, now that it can be read: all is read back at the end. */
  #unhash(block: number, { lo, hi }: Digest): void {
    const before = this.digest(block);
    if (this.#hash === null || block >= this.#frontier || (before.lo === lo && before.hi === hi)) return;
    this.#hash = sha256();
    this.#frontier = 0;
  }

  #hashZeros(): void {
    while (this.#hash !== null && this.#frontier < this.zeros.blockCount && this.zeros.has(this.#frontier)) {
      for (let left = this.lengthOf(this.#frontier); left > 0; left -= ZEROS.byteLength) {
        this.#hash.update(ZEROS.subarray(0, Math.min(left, ZEROS.byteLength)));
      }
      this.#frontier += 1;
    }
  }

  /** SHA-256 of the image in hexadecimal; `readBack` gives blocks that did not come in order. */
  wholeDigest(blockCount: number, readBack: (block: number) => Uint8Array): string {
    assert(this.#hash !== null, 'a whole digest was asked for');
    for (this.#hashZeros(); this.#frontier < blockCount; this.#hashZeros()) {
      this.#hash.update(readBack(this.#frontier));
      this.#frontier += 1;
    }
    return this.#hash.digest('hex');
  }

  setDigest(block: number, digest: Digest): void {
    this.#digests[block * 2] = digest.lo;
    this.#digests[block * 2 + 1] = digest.hi;
  }

  /** The digest that a written block must have. */
  digest(block: number): Digest {
    return { lo: this.#digests[block * 2] ?? 0n, hi: this.#digests[block * 2 + 1] ?? 0n };
  }

  /** Blocks of a resume record are on the target already, but for those that this copy writes at its end. */
  adopt(record: ResumeRecord): void {
    const digests = new DataView(record.digests.buffer, record.digests.byteOffset, record.digests.byteLength);
    for (let block = 0; block < record.blockCount; block++) {
      if ((((record.done[block >>> 3] ?? 0) >>> (block & 7)) & 1) === 0) continue;
      if (this.unrecorded.has(block)) continue;
      this.done.add(block);
      this.setDigest(block, {
        lo: digests.getBigUint64(block * 16, true),
        hi: digests.getBigUint64(block * 16 + 8, true),
      });
    }
  }

  /** Bitmap and digests as a resume record holds them. */
  snapshot(blockCount: number): Pick<ResumeRecord, 'done' | 'digests'> {
    const done = new Uint8Array(Math.ceil(blockCount / 8));
    for (let block = this.done.next(0); block !== -1 && block < blockCount; block = this.done.next(block + 1)) {
      if (this.unrecorded.has(block)) continue;
      done[block >>> 3] = (done[block >>> 3] ?? 0) | (1 << (block & 7));
    }
    return { done, digests: new Uint8Array(this.#digests.slice(0, blockCount * 2).buffer) };
  }

  /** Bytes of the blocks that are written already or needed: what the target occupies in the end. */
  bytesOfAny(needs: NeedSet): number {
    let bytes = 0;
    for (let block = 0; block < needs.blockCount; block++) {
      if (needs.has(block) || this.done.has(block)) bytes += this.lengthOf(block);
    }
    return bytes;
  }

  /** Blocks below `blockCount` that are neither written nor zeros of the source. */
  missingOf(blockCount: number): number {
    let missing = 0;
    for (let block = 0; block < blockCount; block++) {
      if (!this.done.has(block) && !this.zeros.has(block)) missing += 1;
    }
    return missing;
  }

  /** Bytes that the target has as zeros without having been copied. */
  get bytesZeroed(): number {
    let bytes = 0;
    for (let block = this.zeros.next(0); block !== -1; block = this.zeros.next(block + 1))
      bytes += this.lengthOf(block);
    return bytes;
  }
}
