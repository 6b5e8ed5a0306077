// What only one consumer writes into the ring, and the same where nobody else can write: shared memory is where another
// program may write by mistake, and a bit lost there would be a block that never comes.
import { type Clock, limits } from '../../base/mod.ts';
import { type ConsumerEntry, NeedSet, type Ring, ringBroken } from '../ring/mod.ts';

export class OwnWords {
  readonly #entry: ConsumerEntry;
  /** What the producer sees. */
  readonly #shared: NeedSet;
  readonly #wanted: NeedSet;
  readonly #clock: Clock;
  #cursor = 0;
  #lookAtMs = 0;

  constructor(ring: Ring, index: number, clock: Clock) {
    this.#entry = ring.entry(index);
    this.#shared = ring.needSet(index);
    this.#wanted = new NeedSet(this.#shared.words.slice(), this.#shared.blockCount);
    this.#clock = clock;
  }

  moveCursor(sequence: number): void {
    this.#cursor = sequence;
    this.#entry.set('cursor', sequence);
  }

  wants(block: number): boolean {
    return this.#wanted.has(block);
  }

  count(): number {
    return this.#wanted.count();
  }

  add(block: number): void {
    this.#wanted.add(block);
    this.#shared.add(block);
  }

  /** Returns whether it was wanted. */
  delete(block: number): boolean {
    this.#shared.delete(block);
    return this.#wanted.delete(block);
  }

  /** Returns how many were wanted. */
  deleteFrom(block: number): number {
    this.#shared.deleteFrom(block);
    return this.#wanted.deleteFrom(block);
  }

  /** Everything shared is as it was written; the whole need-set now and then. @throws RING_BROKEN */
  require(): void {
    if (this.#entry.attached && this.#cursor !== this.#entry.get('cursor')) throw ringBroken('a cursor has moved');
    const nowMs = this.#clock.nowMs();
    if (nowMs < this.#lookAtMs) return;
    this.#lookAtMs = nowMs + limits.LIVENESS_INTERVAL_MS;
    // Plain reads of what this thread wrote itself.
    const { words } = this.#shared;
    if (!this.#wanted.words.every((word, index) => word === words[index])) throw ringBroken('a need-set has changed');
  }
}
