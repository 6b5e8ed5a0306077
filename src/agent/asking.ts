// A question that is asked once a second whether or not it was answered: else a service would be asked the less often the slower it
// is, and its slow moments would count the least.
import type { Clock } from '../base/mod.ts';

export interface AskingParts<Result> {
  readonly clock: Clock;
  /** So many may wait at once. */
  readonly atOnce: number;
  /** Never rejects. */
  readonly ask: () => Promise<Result>;
  readonly onResult: (result: Result) => void;
}

export class Asking<Result> {
  readonly #parts: AskingParts<Result>;
  /** Under way, oldest first, and when each began. */
  readonly #asked = new Map<Promise<void>, number>();
  #answeredMs = Number.NEGATIVE_INFINITY;
  #tickedMs = Number.NEGATIVE_INFINITY;
  #over = false;

  constructor(parts: AskingParts<Result>) {
    this.#parts = parts;
  }

  /**
   * To be called once a second.
   * @returns how long the oldest has waited, when nothing was answered since the last call; null: something was, or nobody waits.
   *   Without this, what stops answering would be unknown until the first time-out.
   */
  tick(): number | null {
    const { clock, atOnce } = this.#parts;
    const nowMs = clock.nowMs();
    const silent = this.#answeredMs <= this.#tickedMs;
    this.#tickedMs = nowMs;
    const [oldestMs] = this.#asked.values();
    if (this.#asked.size < atOnce) this.#begin(nowMs);
    return silent && oldestMs !== undefined ? nowMs - oldestMs : null;
  }

  /** What is answered from now on is to a question that nobody asks any more. */
  end(): void {
    this.#over = true;
  }

  /** Resolves when nothing is under way. */
  async settled(): Promise<void> {
    await Promise.all(this.#asked.keys());
  }

  #begin(nowMs: number): void {
    const asked = this.#parts.ask().then((result) => {
      this.#asked.delete(asked);
      this.#answeredMs = this.#parts.clock.nowMs();
      if (!this.#over) this.#parts.onResult(result);
    });
    this.#asked.set(asked, nowMs);
  }
}
