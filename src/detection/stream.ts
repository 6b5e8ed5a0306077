// The detector for samples that come in their order, as recorded ones do: the same verdicts as detector.ts gives at the times of samples
// (stream.test.ts holds the two against each other), with the same work for each sample however many the windows hold.
import type { Objective, Sample, Verdict } from './contract.ts';
import { COVERAGE_MIN, HOLD_SHARE, RECOVERY } from './detector.ts';

const COMPACT_EVERY = 4096;

/** Measured values of one window that ends at the last one. */
class Window {
  readonly lengthMs: number;
  /** Index of the first measurement in it. */
  from = 0;
  breaching = 0;
  /** Milliseconds observed from the first measurement in it to the last. */
  betweenMs = 0;

  constructor(seconds: number) {
    this.lengthMs = Math.max(1, Math.round(seconds * 1000));
  }
}

export class StreamDetector {
  readonly #objective: Objective;
  readonly #holdMs: number;
  readonly #fast: Window;
  readonly #slow: Window;
  readonly #times: number[] = [];
  readonly #values: number[] = [];
  #lastMs = Number.NEGATIVE_INFINITY;
  #degraded = false;
  #known = false;
  #score = 0;

  constructor(objective: Objective) {
    this.#objective = objective;
    this.#fast = new Window(objective.fastSeconds);
    this.#slow = new Window(objective.slowSeconds);
    this.#holdMs = Math.max(1, Math.round(this.#fast.lengthMs * HOLD_SHARE));
  }

  /** Samples without a value, or not later than the last one, are passed over. */
  add({ atMs: givenMs, value }: Sample): void {
    const atMs = Math.floor(givenMs);
    if (value === null || !Number.isFinite(value) || !Number.isFinite(atMs) || atMs <= this.#lastMs) return;
    if (atMs - this.#lastMs >= this.#slow.lengthMs) this.#degraded = false;
    this.#times.push(atMs);
    this.#values.push(value);
    const gapMs = Math.min(this.#holdMs, atMs - this.#lastMs);
    this.#lastMs = atMs;
    for (const window of [this.#fast, this.#slow]) {
      if (this.#times.length - 1 > window.from) window.betweenMs += gapMs;
      if (value > this.#objective.below) window.breaching += 1;
      this.#drop(window, atMs - window.lengthMs);
    }
    this.#judge();
    if (this.#slow.from > COMPACT_EVERY) this.#compact();
  }

  /** At the last sample. */
  get verdict(): Verdict {
    return this.#known ? (this.#degraded ? 'degraded' : 'healthy') : 'unknown';
  }

  /** Of both windows the smaller share of what breaches it: 1 and more breaks the objective. */
  get score(): number {
    return this.#score;
  }

  /** From this time on too little of the fast window is known, when nothing else comes. */
  get silentFromMs(): number {
    return this.#lastMs + this.#holdMs + Math.round((1 - COVERAGE_MIN) * this.#fast.lengthMs);
  }

  /** Measured values of the fast window, the lowest first. */
  get recent(): readonly number[] {
    return this.#values.slice(this.#fast.from).sort((a, b) => a - b);
  }

  counts(name: 'fast' | 'slow'): { readonly samples: number; readonly breaching: number } {
    const window = name === 'fast' ? this.#fast : this.#slow;
    return { samples: this.#times.length - window.from, breaching: window.breaching };
  }

  #judge(): void {
    const { share } = this.#objective;
    this.#known = [this.#fast, this.#slow].every((window) => this.#coverage(window) >= COVERAGE_MIN);
    const fast = this.#shareOf(this.#fast);
    const slow = this.#shareOf(this.#slow);
    this.#score = Math.min(fast, slow) / share;
    if (!this.#known) return;
    if (fast >= share && slow >= share) this.#degraded = true;
    else if (fast < share && slow < share * RECOVERY) this.#degraded = false;
  }

  #shareOf(window: Window): number {
    return window.breaching / (this.#times.length - window.from);
  }

  #coverage(window: Window): number {
    const startMs = this.#lastMs - window.lengthMs;
    const beforeMs = this.#times[window.from - 1] ?? Number.NEGATIVE_INFINITY;
    const firstMs = this.#times[window.from] ?? this.#lastMs;
    const ledInMs = Math.max(0, Math.min(beforeMs + this.#holdMs, firstMs) - startMs);
    return Math.min(1, (ledInMs + window.betweenMs) / window.lengthMs);
  }

  #drop(window: Window, untilMs: number): void {
    while (window.from < this.#times.length && (this.#times[window.from] ?? 0) <= untilMs) {
      if ((this.#values[window.from] ?? 0) > this.#objective.below) window.breaching -= 1;
      const nextMs = this.#times[window.from + 1];
      if (nextMs !== undefined) window.betweenMs -= Math.min(this.#holdMs, nextMs - (this.#times[window.from] ?? 0));
      window.from += 1;
    }
  }

  /** What no window holds any more goes, but for the one measurement that is held into the slow window. */
  #compact(): void {
    const gone = this.#slow.from - 1;
    this.#times.splice(0, gone);
    this.#values.splice(0, gone);
    this.#slow.from -= gone;
    this.#fast.from -= gone;
  }
}
