// Measured values in the order of their times, with running sums: what a window held at any time is found without going
// through its samples. Times are whole milliseconds, so that sums are exact wherever they begin.

export interface Measurement {
  readonly atMs: number;
  readonly value: number;
}

/** What one window held. */
export interface Held {
  readonly samples: number;
  readonly breaching: number;
  /** 0 to 1; NaN without samples, which compares as no breach and no recovery. */
  readonly share: number;
  /** 0 to 1. */
  readonly coverage: number;
}

export class Trace {
  readonly #measurements: readonly Measurement[];
  /** At index i: how many of the first i breach. */
  readonly #breaching: readonly number[];
  /** At index i: milliseconds observed from the first measurement to the i-th. */
  readonly #observed: readonly number[];
  readonly #holdMs: number;

  /**
   * @param measurements in the order of times, no two at the same
   * @param holdMs how long after a measurement the signal counts as observed
   */
  constructor(measurements: readonly Measurement[], below: number, holdMs: number) {
    const breaching = [0];
    const observed = [0];
    let [breached, sumMs] = [0, 0];
    for (const [index, { atMs, value }] of measurements.entries()) {
      if (value > below) breached += 1;
      breaching.push(breached);
      const nextMs = measurements[index + 1]?.atMs;
      if (nextMs !== undefined) sumMs += Math.min(holdMs, nextMs - atMs);
      observed.push(sumMs);
    }
    this.#measurements = measurements;
    this.#breaching = breaching;
    this.#observed = observed;
    this.#holdMs = holdMs;
  }

  get length(): number {
    return this.#measurements.length;
  }

  /** -Infinity before the first. */
  atMs(index: number): number {
    return this.#measurements[index]?.atMs ?? Number.NEGATIVE_INFINITY;
  }

  /** How many measurements there are up to a time, that time included. */
  countUpTo(atMs: number): number {
    let [low, high] = [0, this.#measurements.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.atMs(middle) <= atMs) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** The window that ends at a time: what was measured after its start, up to its end. */
  window(endMs: number, lengthMs: number): Held {
    const startMs = endMs - lengthMs;
    const from = this.countUpTo(startMs);
    const to = this.countUpTo(endMs);
    const samples = to - from;
    const breaching = (this.#breaching[to] ?? 0) - (this.#breaching[from] ?? 0);
    const observedMs = this.#observedMs(startMs, endMs, from, to);
    return { samples, breaching, share: breaching / samples, coverage: Math.min(1, observedMs / lengthMs) };
  }

  /** Values of a window, the lowest first. */
  valuesOf(endMs: number, lengthMs: number): readonly number[] {
    const from = this.countUpTo(endMs - lengthMs);
    const values = this.#measurements.slice(from, this.countUpTo(endMs)).map(({ value }) => value);
    return values.sort((a, b) => a - b);
  }

  #observedMs(startMs: number, endMs: number, from: number, to: number): number {
    // The last measurement before the window may be held into it, as far as its first one or its end.
    const firstMs = from < to ? this.atMs(from) : endMs;
    const ledInMs = Math.max(0, Math.min(this.atMs(from - 1) + this.#holdMs, firstMs) - startMs);
    if (from === to) return ledInMs;
    const betweenMs = (this.#observed[to - 1] ?? 0) - (this.#observed[from] ?? 0);
    return ledInMs + betweenMs + Math.min(this.#holdMs, endMs - this.atMs(to - 1));
  }
}
