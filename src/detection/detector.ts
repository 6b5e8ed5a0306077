// The detector of contract.ts. Whether the service is degraded is a state that changes at the times of samples only, each time by
// the two windows that end there. As samples may come late, states of the recent past are computed anew for each verdict; what is
// older than the lateness allowed is settled, and its samples are dropped as soon as no window can reach them.
import { assert } from '../base/mod.ts';
import type { Detector, Finding, Objective, Sample } from './contract.ts';
import { evidenceOf, percent } from './evidence.ts';
import { type Held, type Measurement, Trace } from './trace.ts';

/** Of a window's time that has to be observed. */
export const COVERAGE_MIN = 0.8;
/** How long after a sample the signal counts as observed: this share of the fast window. */
export const HOLD_SHARE = 1 / 4;
/** A degraded service is healthy again below this part of the share that made it degraded. */
export const RECOVERY = 1 / 2;
/**
 * Samples kept; beyond it the oldest are dropped, and windows that reach so far back are not covered. They are kept for two and
 * a quarter slow windows at most, so one a second is enough for slow windows of two hours.
 */
export const SAMPLES_MAX = 20_000;
/** Times beyond are not times, and could not be summed exactly. */
const AT_MS_MAX = 2 ** 50;

class WindowedDetector implements Detector {
  readonly #objective: Objective;
  readonly #fastMs: number;
  readonly #slowMs: number;
  readonly #holdMs: number;
  /** In the order of times, no two at the same. */
  readonly #measurements: Measurement[] = [];
  /** Up to here the state is settled. */
  #settledMs = Number.NEGATIVE_INFINITY;
  #settledDegraded = false;
  /** The state up to a later time, as long as no sample comes that is older: then only new samples have to be gone through. */
  #knownMs = Number.NEGATIVE_INFINITY;
  #knownDegraded = false;

  constructor(objective: Objective) {
    const { below, fastSeconds, slowSeconds, share } = objective;
    assert(Number.isFinite(below), `${below} cannot be an objective`);
    assert(fastSeconds > 0 && slowSeconds >= fastSeconds, `windows of ${fastSeconds} s and ${slowSeconds} s cannot be`);
    assert(share > 0 && share <= 1, `${share} is no share`);
    this.#objective = objective;
    this.#fastMs = Math.max(1, Math.round(fastSeconds * 1000));
    this.#slowMs = Math.max(1, Math.round(slowSeconds * 1000));
    this.#holdMs = Math.max(1, Math.round(this.#fastMs * HOLD_SHARE));
    assert(this.#slowMs < AT_MS_MAX, `a window of ${slowSeconds} s cannot be`);
  }

  add(sample: Sample): void {
    // Down: a sample that was just taken is not one of the future.
    const atMs = Math.floor(sample.atMs);
    if (!(Math.abs(atMs) <= AT_MS_MAX) || atMs <= this.#settledMs) return;
    if (sample.value === null || !Number.isFinite(sample.value)) return;
    if (atMs <= this.#knownMs) this.#forgetKnown();
    this.#insert({ atMs, value: sample.value });
    if (this.#measurements.length <= SAMPLES_MAX) return;
    this.#measurements.shift();
    this.#forgetKnown();
  }

  verdict(nowMs: number): Finding {
    assert(Number.isFinite(nowMs), `${nowMs} is no time`);
    this.#dropFrom(nowMs + this.#slowMs);
    // A copy, for its evidence may be asked for after the next sample.
    const trace = new Trace(this.#measurements.slice(), this.#objective.below, this.#holdMs);
    const settledMs = Math.max(this.#settledMs, nowMs - this.#slowMs);
    const settledDegraded = this.#stateAfter(trace, this.#settledDegraded, this.#settledMs, settledMs);
    this.#settledMs = settledMs;
    this.#settledDegraded = settledDegraded;
    if (this.#knownMs < settledMs) this.#forgetKnown();
    const degraded = this.#stateAfter(trace, this.#knownDegraded, this.#knownMs, nowMs);
    this.#knownMs = Math.max(this.#knownMs, nowMs);
    this.#knownDegraded = degraded;
    const finding = this.#finding(trace, degraded, nowMs);
    this.#dropBefore(settledMs - this.#slowMs - this.#holdMs);
    return finding;
  }

  #forgetKnown(): void {
    this.#knownMs = this.#settledMs;
    this.#knownDegraded = this.#settledDegraded;
  }

  #insert(measurement: Measurement): void {
    const measurements = this.#measurements;
    let at = measurements.length;
    // From the end: samples mostly come in order.
    while (at > 0 && (measurements[at - 1]?.atMs ?? 0) >= measurement.atMs) at -= 1;
    const same = measurements[at];
    if (same?.atMs !== measurement.atMs) measurements.splice(at, 0, measurement);
    else if (measurement.value > same.value) measurements[at] = measurement;
  }

  #dropFrom(afterMs: number): void {
    const { length } = this.#measurements;
    let kept = length;
    while (kept > 0 && (this.#measurements[kept - 1]?.atMs ?? 0) > afterMs) kept -= 1;
    this.#measurements.length = kept;
  }

  #dropBefore(untilMs: number): void {
    const first = this.#measurements.findIndex(({ atMs }) => atMs > untilMs);
    this.#measurements.splice(0, first === -1 ? this.#measurements.length : first);
  }

  /** The state after the samples after one time, up to another, from the state before them. */
  #stateAfter(trace: Trace, before: boolean, afterMs: number, untilMs: number): boolean {
    let degraded = before;
    const end = trace.countUpTo(untilMs);
    for (let index = trace.countUpTo(afterMs); index < end; index += 1) {
      const atMs = trace.atMs(index);
      // After a silence as long as the slow window nothing is known of the time before.
      if (atMs - trace.atMs(index - 1) >= this.#slowMs) degraded = false;
      degraded = this.#next(degraded, trace.window(atMs, this.#fastMs), trace.window(atMs, this.#slowMs));
    }
    return degraded;
  }

  #next(degraded: boolean, fast: Held, slow: Held): boolean {
    if (fast.coverage < COVERAGE_MIN || slow.coverage < COVERAGE_MIN) return degraded;
    const { share } = this.#objective;
    if (fast.share >= share && slow.share >= share) return true;
    return degraded && !(fast.share < share && slow.share < share * RECOVERY);
  }

  #finding(trace: Trace, degraded: boolean, nowMs: number): Finding {
    const lastMs = trace.atMs(trace.countUpTo(nowMs) - 1);
    const gap = this.#gap(trace, lastMs, nowMs);
    // The state is that of the last sample, so its evidence is too; that of silence is of now.
    const endMs = gap === null ? lastMs : nowMs;
    const objective = this.#objective;
    let made: Finding['evidence'] | null = null;
    const shares = [this.#fastMs, this.#slowMs].map((lengthMs) => trace.window(endMs, lengthMs).share || 0);
    const [fast = 0, slow = 0] = shares;
    const found = (verdict: Finding['verdict'], reason: string): Finding => ({
      verdict,
      reason,
      shares: [fast, slow],
      get evidence() {
        made ??= [evidenceOf(objective, 'fast', trace, endMs), evidenceOf(objective, 'slow', trace, endMs)];
        return made;
      },
    });
    if (gap !== null) return found('unknown', gap);
    const { signal, share } = objective;
    if (!degraded) return found('healthy', `${signal} does not break its objective`);
    const breaks = fast >= share && slow >= share;
    const reason = breaks
      ? `${signal} breaks its objective in both windows`
      : `${signal} broke its objective and has not recovered: less than ${percent(share * RECOVERY)} of the slow window may breach`;
    return found('degraded', reason);
  }

  /** What is missing for a verdict, or null. */
  #gap(trace: Trace, lastMs: number, nowMs: number): string | null {
    const { signal } = this.#objective;
    if (lastMs <= nowMs - this.#slowMs) return `no sample of ${signal} for as long as the slow window`;
    for (const [name, lengthMs] of [
      ['fast', this.#fastMs],
      ['slow', this.#slowMs],
    ] as const) {
      // At the last sample too: there the state was found, and time that passes does not make more of it known.
      const coverage = Math.min(trace.window(nowMs, lengthMs).coverage, trace.window(lastMs, lengthMs).coverage);
      if (coverage < COVERAGE_MIN) {
        return `${signal} was observed for ${percent(coverage)} of the ${name} window; ${percent(COVERAGE_MIN)} are needed`;
      }
    }
    return null;
  }
}

/** An objective out of range is a mistake of the program: check what others have written before. */
export function createDetector(objective: Objective): Detector {
  return new WindowedDetector(objective);
}
