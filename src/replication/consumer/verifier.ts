// Reads finished blocks back from the target, past the page cache, and compares digests. In the shadow of the sweep one
// block at a time, whenever there is nothing to write; what is left afterwards with several reads in flight.
import { present, UnderstudyError } from '../../base/mod.ts';
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

  /** Verifies one written block that has not been verified; false when there is none. Nothing may be in flight. */
  verifyOne(): boolean {
    const { ledger } = this.#world;
    for (let block = ledger.done.next(this.#shadowAt); block !== -1; block = ledger.done.next(block + 1)) {
      if (this.#verified.has(block)) continue;
      this.#submit(block, 0);
      while (!this.#reap((_tag) => block)) this.#world.checkpoint(this.#count);
      this.#shadowAt = block + 1;
      return true;
    }
    if (this.#shadowAt === 0) return false;
    this.#shadowAt = 0;
    return false;
  }

  /** Verifies all that is written or zeroed, below `blockCount`. @throws VERIFY_MISMATCH with the first wrong range */
  verifyRest(blockCount: number): void {
    const blockOfTag = new Map<number, number>();
    const free = Array.from({ length: Math.min(READS_IN_FLIGHT, this.#world.device.info.depth) }, (_, tag) => tag);
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
      if (blockOfTag.size === 0) return;
      this.#world.checkpoint(this.#count);
      this.#reap((tag) => {
        const block = present(blockOfTag.get(tag), 'a block being read back');
        blockOfTag.delete(tag);
        free.push(tag);
        return block;
      });
    }
  }

  #submit(block: number, tag: number): void {
    const { device, ledger, blockBytes } = this.#world;
    this.#buffers[tag] ??= this.#world.allocate(blockBytes);
    const buffer = present(this.#buffers[tag], 'a buffer').subarray(0, ledger.lengthOf(block));
    device.submit({ kind: 'read', tag, offsetBytes: block * blockBytes, buffer });
  }

  #reap(blockOf: (tag: number) => number): boolean {
    const completions = this.#world.device.reap(1000);
    for (const { tag, bytes, error } of completions) {
      const block = blockOf(tag);
      if (error !== null) {
        throw new UnderstudyError('VERIFY_MISMATCH', `reading back: ${error.message}`, { cause: error });
      }
      this.#compare(block, present(this.#buffers[tag], 'a buffer').subarray(0, bytes));
    }
    return completions.length > 0;
  }

  #compare(block: number, data: Uint8Array): void {
    const { ledger, blockBytes } = this.#world;
    const wanted = ledger.lengthOf(block);
    const actual = data.byteLength === wanted ? this.#world.digestOf(data) : null;
    const expected = ledger.done.has(block) ? ledger.digest(block) : this.#zeroDigest(wanted);
    if (actual === null || actual.lo !== expected.lo || actual.hi !== expected.hi) {
      throw new UnderstudyError(
        'VERIFY_MISMATCH',
        `${wanted} bytes at ${block * blockBytes} read back from the target are not what was written`,
      );
    }
    this.#verified.add(block);
    this.#count += 1;
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
