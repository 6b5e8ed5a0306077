// The end of one target, in the order in which it has to happen: zeros, flush, what is read back, the digest of the
// whole, a last look at the source. Only then what was held back is written, and a file gets its name.
import { assert, limits, UnderstudyError } from '../../base/mod.ts';
import type { Device } from '../device/contract.ts';
import type { Ring } from '../ring/mod.ts';
import { isAsBefore, nameOfSource } from '../source/mod.ts';
import type { Target } from '../target/mod.ts';
import type { HeldDevice } from './held-device.ts';
import { LastPieces } from './last-pieces.ts';
import type { Ledger } from './ledger.ts';
import type { ConsumerTask, GptReport } from './options.ts';
import type { ProgressKeeper } from './progress-keeper.ts';
import { expectDigest } from './stored-digest.ts';
import { transferNow, Window } from './transfer.ts';
import type { Verifier } from './verifier.ts';

/** Ranges are zeroed in pieces of this size, so that an abort is heard in between. */
const ZERO_PIECE_BYTES = 64 * limits.MIB;

export interface EndingWorld {
  readonly task: ConsumerTask;
  readonly ring: Ring;
  readonly target: Target;
  /** Everything that belongs to the image is read and written through it. */
  readonly device: Device;
  /** The same device when it holds the first block back. */
  readonly held: HeldDevice | null;
  readonly ledger: Ledger;
  readonly keeper: ProgressKeeper;
  /** Null without --verify. */
  readonly verifier: Verifier | null;
  allocate(bytes: number): Uint8Array;
  /** Throws when the copy is to stop. */
  checkAbort(): void;
  activity(name: 'flushing' | 'verifying' | 'zeroing'): void;
}

export class Ending {
  readonly #world: EndingWorld;
  #verified = false;
  #zeroed = false;
  #digest: string | null = null;
  #gpt: GptReport | null = null;
  #page: Uint8Array | null = null;

  constructor(world: EndingWorld) {
    this.#world = world;
  }

  /** Every byte was read back. */
  get verified(): boolean {
    return this.#verified;
  }

  /** "sha256:..." once it was taken. */
  get digest(): string | null {
    return this.#digest;
  }

  get gpt(): GptReport | null {
    return this.#gpt;
  }

  /**
   * Makes everything durable that came through the ring, and the zeros that did not, and verifies it. Returns the
   * blocks that have to come once more; none: `complete` is next. @throws VERIFY_MISMATCH and others
   */
  settle(): readonly number[] {
    const { ledger, keeper, target, held, verifier, task } = this.#world;
    const blockCount = Math.ceil(this.#imageBytes() / this.#blockBytes);
    ledger.zeros.deleteFrom(blockCount);
    if (!this.#zeroed) this.#makeZeros();
    this.#zeroed = true;
    for (;;) {
      this.#world.activity('flushing');
      // A record is worth its price only when something long is still to come, or when the first block is: a copy that
      // dies just after that block must not look like one that somebody else has overwritten (resume-proof.ts).
      if (verifier !== null || task.digest || held !== null) keeper.keep(true);
      else target.device.flush();
      if (verifier === null) return [];
      this.#world.activity('verifying');
      const bad = verifier.verifyRest(blockCount);
      // What an interrupted copy goes on with must not have them.
      if (bad.length > 0) keeper.keep(true);
      const zeros = bad.filter((block) => ledger.zeros.has(block));
      for (const block of zeros) this.#writeZeros(block);
      this.#verified = bad.length === 0;
      if (this.#verified || zeros.length < bad.length) return bad.filter((block) => !ledger.zeros.has(block));
    }
  }

  /** The rest: nothing of the image is missing, but for what was held back. */
  complete(): void {
    const { task, target, held, verifier, ring } = this.#world;
    ring.requireDescription();
    const imageBytes = this.#imageBytes();
    if (task.digest || task.expect !== null) this.#checkDigest(Math.ceil(imageBytes / this.#blockBytes));
    this.#checkSourceStood();
    if (held !== null) {
      const pieces = new LastPieces({ ...this.#world, held, verify: verifier !== null, page: this.#pages() });
      this.#gpt = pieces.write(imageBytes);
    }
    target.finish(imageBytes);
    this.#world.keeper.end();
  }

  get #blockBytes(): number {
    return this.#world.ring.geometry.blockBytes;
  }

  #imageBytes(): number {
    const { ring, task } = this.#world;
    // The part of a stream that was asked for may be complete before the stream has come to its end.
    const sourceBytes = ring.get('sizeKnown') === 1 ? ring.getDouble('sourceBytes') : Number.POSITIVE_INFINITY;
    const imageBytes = Math.min(task.extent.endBytes ?? sourceBytes, sourceBytes);
    assert(Number.isFinite(imageBytes), 'a complete copy knows its size');
    return imageBytes;
  }

  #pages(): Uint8Array {
    this.#page ??= this.#world.allocate(this.#blockBytes);
    return this.#page;
  }

  #makeZeros(): void {
    const { target, ledger, device } = this.#world;
    if (target.readsZero) return;
    this.#world.activity('zeroing');
    const { zeros } = ledger;
    for (let block = zeros.next(0); block !== -1; block = zeros.next(block)) {
      this.#world.checkAbort();
      const from = block;
      let bytes = 0;
      for (; block < zeros.blockCount && zeros.has(block) && bytes < ZERO_PIECE_BYTES; block++)
        bytes += ledger.lengthOf(block);
      device.zero(from * this.#blockBytes, bytes);
    }
  }

  /** Plainly: a range that was said to read as zeros, and does not, is not asked for in the same way again. */
  #writeZeros(block: number): void {
    const { device, ledger } = this.#world;
    const zeros = new Uint8Array(ledger.lengthOf(block));
    new Window(device, this.#pages()).write(block * this.#blockBytes, zeros);
  }

  #checkDigest(blockCount: number): void {
    const { ledger, device, task, ring } = this.#world;
    this.#world.activity('verifying');
    const hex = ledger.wholeDigest(blockCount, (block) => {
      this.#world.checkAbort();
      const buffer = this.#pages().subarray(0, ledger.lengthOf(block));
      return buffer.subarray(0, transferNow(device, 'read', block * this.#blockBytes, buffer));
    });
    this.#digest = `sha256:${hex}`;
    expectDigest(task, hex, {
      ofRing: () => ring.getText('storedDigest'),
      checkpoint: () => this.#world.checkAbort(),
    });
  }

  /** Invariant: every block of a finished copy equals the source's block at one point in time. */
  #checkSourceStood(): void {
    const { ring, task } = this.#world;
    const before = ring.getText('fingerprint');
    const changed = ring.get('sourceChanged') === 1 || !isAsBefore(task.source, before);
    if (changed)
      throw new UnderstudyError('SOURCE_CHANGED', `${nameOfSource(task.source.uri)} changed while it was copied`);
  }
}
