// Change detection against what is usual for a signal, learned from the signal alone. Memory and work for a sample do not grow.
//
// Three ways to foresee it are tried side by side: a level that follows slowly and is not moved far by what is unusual, alone and upon what is usual at
// that hour of the day, or of the week. The one that foresees best is believed. How far that is off is held against how far it ever was, as single samples (a
// spike) and as means over runs of them (a shift). So the measure comes from the signal itself: scaling it or moving its origin changes nothing,
// and a signal that is full of spikes is not reported for one more.
//
// What stays as it has become is the new level after some hundred samples: then it is healthy again.
import type { Sample } from '../contract.ts';
import { RUNS } from './expectation.ts';
import type { BaselineMemory } from './memory.ts';
import { Model } from './model.ts';
import { Rhythm } from './rhythm.ts';

export type Direction = 'above' | 'below' | 'both';

export interface BaselineOptions {
  /** Deviations that matter. @default 'both' */
  readonly direction?: Direction;
  /** Samples before anything is judged. At least 50. @default 300 */
  readonly learnSamples?: number;
}

/** A type, not an interface, so that it passes as a record of numbers and texts. */
export type BaselineValues = {
  readonly value: number;
  readonly expected: number;
  /** The longest run of samples that is remarkable, or the most remarkable one. */
  readonly runSamples: number;
  /** Of that run: 1 and more is beyond everything usual. */
  readonly score: number;
  readonly kind: 'none' | 'spike' | 'shift';
  readonly rhythm: 'none' | 'daily' | 'weekly';
};

const FIRST_SAMPLES = 20;
const LEARN_SAMPLES = 300;
/** A rhythm has to foresee so much better than what is simpler, over so many samples. */
const BETTER = 0.6;
const COMPARED_SAMPLES = 100;
/** Else a rhythm would be believed for the quiet hours since it is known. */
const COMPARED_MS = 24 * 60 * 60_000;
const COMPARE_EVERY = 50;
/** Recovered when nothing deviates by more than this for so many samples. */
const CALM = 0.65;
const CALM_SAMPLES = 72;
/** A shift so far beyond the usual is a failure. */
const FAILING = 2;
/** Fewer samples aside, one after the other, are a spike. */
const SHIFT_SAMPLES = 3;
/** A silence of so many usual intervals is a gap. */
const GAP_INTERVALS = 5;
/** A shift is learned, but slowly: else the second failure of a kind would be usual at once. Spikes that come again are. */
const SHIFT_PART = 0.05;
const VALUE_MAX = 1e300;
const HOUR_MS = 3_600_000;
const RHYTHMS = ['none', 'daily', 'weekly'] as const;

export class Baseline {
  readonly #direction: Direction;
  readonly #learnSamples: number;
  readonly #models = [
    new Model(null),
    new Model(new Rhythm(HOUR_MS, 24)),
    new Model(new Rhythm(HOUR_MS, 168)),
  ] as const;
  readonly #first: number[] = [];
  #samples = 0;
  #lastMs = Number.NEGATIVE_INFINITY;
  #intervalMs = 0;
  #believed = 0;
  #calm = 0;
  /** Samples one after the other that lie aside of what is expected by more than usual; negative: below it. */
  #streak = 0;
  #deviates = false;
  #failing = false;
  #values: BaselineValues = { value: 0, expected: 0, runSamples: 1, score: 0, kind: 'none', rhythm: 'none' };

  constructor({ direction = 'both', learnSamples = LEARN_SAMPLES }: BaselineOptions = {}) {
    this.#direction = direction;
    this.#learnSamples = Math.max(2 * FIRST_SAMPLES, learnSamples);
  }

  /** Samples still to be taken before anything is judged. */
  get toLearn(): number {
    return Math.max(0, this.#learnSamples - this.#samples);
  }

  /** The time from which on silence is a gap; Infinity before that is known. */
  get silentFromMs(): number {
    return this.#intervalMs > 0 ? this.#lastMs + GAP_INTERVALS * this.#intervalMs : Number.POSITIVE_INFINITY;
  }

  get state(): 'learning' | 'healthy' | 'degraded' | 'failing' {
    if (this.toLearn > 0) return 'learning';
    return this.#deviates ? (this.#failing ? 'failing' : 'degraded') : 'healthy';
  }

  /** Of the last sample. */
  get values(): BaselineValues {
    return this.#values;
  }

  /** What was learned, without the runs of the last samples; null: nothing yet. */
  get memory(): BaselineMemory | null {
    if (this.#first.length < FIRST_SAMPLES) return null;
    const models = this.#models.map(({ memory }) => memory);
    const [samples, lastMs, intervalMs, believed] = [this.#samples, this.#lastMs, this.#intervalMs, this.#believed];
    return { version: 1, samples, lastMs, intervalMs, believed, models };
  }

  /** Goes on where another one was, before the first sample. Samples have to be later than its last one. */
  restore({ samples, lastMs, intervalMs, believed, models }: BaselineMemory): void {
    if (models.length !== this.#models.length || samples < FIRST_SAMPLES) return;
    this.#samples = samples;
    this.#lastMs = lastMs;
    this.#intervalMs = intervalMs;
    this.#believed = believed in this.#models ? believed : 0;
    while (this.#first.length < FIRST_SAMPLES) this.#first.push(0);
    for (const [index, memory] of models.entries()) this.#models[index]?.restore(memory);
  }

  /** Samples that are none, or not later than the last one, are passed over: what is late is not news. */
  add({ atMs, value }: Sample): void {
    if (value === null || !Number.isFinite(value) || !Number.isFinite(atMs) || atMs <= this.#lastMs) return;
    if (atMs > this.silentFromMs) for (const { expectation } of this.#models) expectation.forgetRuns();
    this.#time(atMs);
    this.#samples += 1;
    const bounded = Math.max(-VALUE_MAX, Math.min(VALUE_MAX, value));
    if (this.#first.length < FIRST_SAMPLES) this.#begin(bounded);
    else this.#take(atMs, bounded);
  }

  /** The interval is learned like a level: from ratios, so that one gap does not move it far. */
  #time(atMs: number): void {
    const passedMs = atMs - this.#lastMs;
    this.#lastMs = atMs;
    if (!Number.isFinite(passedMs)) return;
    if (this.#intervalMs === 0) this.#intervalMs = passedMs;
    else this.#intervalMs *= Math.max(0.9, Math.min(1.1, passedMs / this.#intervalMs));
  }

  #begin(value: number): void {
    this.#first.push(value);
    if (this.#first.length < FIRST_SAMPLES) return;
    const level = middleOf(this.#first);
    const deviations = this.#first.map((one) => Math.abs(one - level));
    const usual = middleOf(deviations) || deviations.reduce((sum, one) => sum + one / FIRST_SAMPLES, 0);
    for (const model of this.#models) model.begin(FIRST_SAMPLES, level, usual);
  }

  #take(atMs: number, value: number): void {
    const [plain] = this.#models;
    const { usual } = plain;
    for (const model of this.#models) model.observe(atMs, value, usual);
    // A time of the day that was never seen has no rhythm yet.
    const believed = this.#models[this.#believed]?.expected === null ? 0 : this.#believed;
    this.#judge(value, believed);
    const part = this.#values.kind === 'shift' ? SHIFT_PART : 1;
    for (const model of this.#models) model.learn(value, part, this.#sizeOf);
    if (this.#samples % COMPARE_EVERY === 0) this.#believed = this.#best();
  }

  #judge(value: number, believed: number): void {
    const model = this.#models[believed] ?? this.#models[0];
    const { expectation } = model;
    const expected = model.expected ?? 0;
    const error = value - expected;
    const isAside = Math.abs(error) > model.usual;
    this.#streak = isAside
      ? Math.sign(error) === Math.sign(this.#streak)
        ? this.#streak + Math.sign(error)
        : Math.sign(error)
      : 0;
    let [most, run, sustained] = [0, 0, 0];
    for (let index = 0; index < RUNS.length; index += 1) {
      const score = this.#inDirection(expectation.score(index));
      if (index > 0) sustained = Math.max(sustained, score);
      // The longest that is remarkable says most; else the largest.
      if (score < 1 ? score <= most : false) continue;
      most = Math.max(most, score);
      run = index;
    }
    const isRemarkable = most >= 1 && this.toLearn === 0;
    if (isRemarkable) {
      this.#deviates = true;
      this.#calm = 0;
    } else if (this.#deviates) {
      this.#calm = most < CALM ? this.#calm + 1 : 0;
      if (this.#calm >= CALM_SAMPLES) this.#deviates = false;
    }
    // One sample far off moves the runs that it is part of; only more of them are a shift.
    const isShift = run > 0 && Math.abs(this.#streak) >= SHIFT_SAMPLES;
    if (sustained >= FAILING && this.#deviates && isShift) this.#failing = true;
    if (!this.#deviates) this.#failing = false;
    const kind = this.#kindOf(isRemarkable, isShift);
    const rhythm = RHYTHMS[believed] ?? 'none';
    this.#values = { value, expected, runSamples: RUNS[run] ?? 1, score: most, kind, rhythm };
  }

  /** For as long as it deviates, it is what it was at its worst. */
  #kindOf(isRemarkable: boolean, isShift: boolean): BaselineValues['kind'] {
    if (!this.#deviates) return 'none';
    const before = this.#values.kind;
    return (isRemarkable && isShift) || before === 'shift' ? 'shift' : 'spike';
  }

  #inDirection(score: number): number {
    if (this.#direction === 'both') return Math.abs(score);
    return Math.max(0, this.#direction === 'above' ? score : -score);
  }

  readonly #sizeOf = (deviation: number): number => this.#inDirection(deviation);

  #best(): number {
    let best = 0;
    for (let index = 1; index < RHYTHMS.length; index += 1) {
      const candidate = this.#models[index]?.expectation;
      const before = this.#models[best]?.expectation;
      if (candidate === undefined || before === undefined || candidate.samples * this.#intervalMs < COMPARED_MS)
        continue;
      if (candidate.samples < COMPARED_SAMPLES) continue;
      if (candidate.error < BETTER * before.error) best = index;
    }
    return best;
  }
}

function middleOf(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
}
