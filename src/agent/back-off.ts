// How long to wait before the next try: doubling, with jitter, so that the agents of a controller that comes back do not all
// ask at once.

const FIRST_MS = 1000;
/** Many agents asking every quarter of a minute cost nothing, and a controller that is back hears of its hosts soon. */
const LONGEST_MS = 15_000;
/** For a token that is not accepted: only people can change that. */
const REFUSED_MS = 60_000;

export class BackOff {
  readonly #random: () => number;
  #failures = 0;

  /** @param random uniform in [0, 1) */
  constructor(random: () => number) {
    this.#random = random;
  }

  succeeded(): void {
    this.#failures = 0;
  }

  /** @returns milliseconds until the next try */
  failed(): number {
    const longestMs = Math.min(LONGEST_MS, FIRST_MS * 2 ** this.#failures);
    this.#failures = Math.min(this.#failures + 1, 30);
    return this.#jittered(longestMs);
  }

  refused(): number {
    this.#failures = 0;
    return this.#jittered(REFUSED_MS);
  }

  /** From half of it to all of it. */
  #jittered(longestMs: number): number {
    return Math.round(longestMs * (0.5 + this.#random() / 2));
  }
}
