// Reads finished blocks back from the target, past the page cache, and compares digests. In the shadow of the sweep one
// block at a time, whenever there is nothing to write; what is left afterwards with several reads in flight.
import { present } from '../../base/mod.ts';
import type { Device } from '../device/contract.ts';
import { type Digest, NeedSet } from '../ring/mod.ts';
import type { Ledger } from './ledger.ts';

/** Two blocks of huge pages keep a disk busy, and each costs its memory once a target. */
const READS_IN_FLIGHT = 2;

export interface VerifierWorld {
  readonly device: Device;
  readonly ledger: Ledger;
  readonly blockBytes: number;
  readonly blockCapacity: number;
  digestOf(data: Uint8Array): Digest;
  allocate(bytes: number): Uint8Array;
  /** Throws when the copy is to stop; called between reads. */
  checkpoint(verifiedBlocks: number): void;
  /** Hears of a block that was not read back as it was written; `why`: what reading failed with. Throws to end the copy. */
  bad(block: number, why: string | null): void;
}

export class Verifier {
  readonly #world: VerifierWorld;
  readonly #verified: NeedSet;
  readonly #buffers: Uint8Array[] = [];
  readonly #zeroDigests = new Map<number, Digest>();
  #shadowAt = 0;
  #count = 0;

  constructor(world: VerifierWorld) {
    this.#world = world;
    this.#verified = new NeedSet(new Int32Array(Math.ceil(world.blockCapacity / 64) * 2), world.blockCapacity);
  }

  /**
   * Verifies one written block that has not been verified. Nothing may be in flight.
   * `none`: there is no such block; a number: the block that was not read back as it was written, and was told to `bad`.
   */
  verifyOne(): 'none' | 'good' | number {
    const { ledger } = this.#world;
    for (let block = ledger.done.next(this.#shadowAt); block !== -1; block = ledger.done.next(block + 1)) {
      if (this.#verified.has(block)) continue;
      this.#submit(block, 0);
      while (!this.#reap((_tag) => block)) this.#world.checkpoint(this.#count);
      this.#shadowAt = block + 1;
      return this.#verified.has(block) ? 'good' : block;
    }
    this.#shadowAt = 0;
    return 'none';
  }

  /** Verifies all that is written or zeroed, below `blockCount`; returns the blocks that were told to `bad`. */
  verifyRest(blockCount: number): readonly number[] {
    const blockOfTag = new Map<number, number>();
    const free = Array.from({ length: Math.min(READS_IN_FLIGHT, this.#world.device.info.depth) }, (_, tag) => tag);
    const bad: number[] = [];
    let next = 0;
    for (;;) {
      while (free.length > 0 && next < blockCount) {
        if (!this.#verified.has(next)) {
          const tag = present(free.pop(), 'a free buffer');
          blockOfTag.set(tag, next);
          this.#submit(next, tag);
        }
        next += 1;
      }
      if (blockOfTag.size === 0) return bad;
      this.#world.checkpoint(this.#count);
      this.#reap((tag) => {
        const block = present(blockOfTag.get(tag), 'a block being read back');
        blockOfTag.delete(tag);
        free.push(tag);
        return block;
      }, bad);
    }
  }

  #submit(block: number, tag: number): void {
    const { device, ledger, blockBytes } = this.#world;
    this.#buffers[tag] ??= this.#world.allocate(blockBytes);
    const buffer = present(this.#buffers[tag], 'a buffer').subarray(0, ledger.lengthOf(block));
    device.submit({ kind: 'read', tag, offsetBytes: block * blockBytes, buffer });
  }

  #reap(blockOf: (tag: number) => number, bad: number[] = []): boolean {
    const completions = this.#world.device.reap(1000);
    for (const { tag, bytes, error } of completions) {
      const block = blockOf(tag);
      // One place that cannot be read may be mended by a write; without its server or device nothing can.
      if (error !== null && error.code !== 'TARGET_WRITE_FAILED') throw error;
      const good = error === null && this.#isGood(block, present(this.#buffers[tag], 'a buffer').subarray(0, bytes));
      if (!good) {
        this.#world.bad(block, error === null ? null : error.message);
        bad.push(block);
        continue;
      }
      this.#verified.add(block);
      this.#count += 1;
    }
    return completions.length > 0;
  }

  #isGood(block: number, data: Uint8Array): boolean {
    const { ledger } = this.#world;
    const wanted = ledger.lengthOf(block);
    if (data.byteLength !== wanted) return false;
    const actual = this.#world.digestOf(data);
    const expected = ledger.done.has(block) ? ledger.digest(block) : this.#zeroDigest(wanted);
    return actual.lo === expected.lo && actual.hi === expected.hi;
  }

  #zeroDigest(bytes: number): Digest {
    let digest = this.#zeroDigests.get(bytes);
    if (digest === undefined) {
      const zeros = this.#world.allocate(bytes);
      digest = this.#world.digestOf(zeros);
      this.#zeroDigests.set(bytes, digest);
    }
    return digest;
  }
}
