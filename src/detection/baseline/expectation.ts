// One way to foresee a signal, and how far off it has been: of single samples, and of runs of them, so that a spike and a lasting
// shift are each held against their like.
import type { ModelMemory } from './memory.ts';
import { DeviationRecord } from './record.ts';

/** Samples that a run spans, about: its mean is exponential, with a weight of 2 / (n + 1) for the newest. */
export const RUNS = [1, 6, 36, 216] as const;
/** How far beyond the record a run has to be: much for one sample, little for many. */
const BEYOND = [1.6, 1.3, 1.2, 1.1] as const;
/** Long runs change slowly: one of so many samples is enough for their record. */
const RECORD_EVERY = [1, 1, 4, 24] as const;
/** Of samples. */
const HALF_LIFE = 12_000;
/** The error by which expectations are compared remembers so many samples. */
const ERROR_SAMPLES = 2000;
const CLIP = 8;
/** A record of fewer independent runs says nothing. */
const SPANS_MIN = 5;
const UNSURE = 0.7;

export class Expectation {
  readonly #runs = RUNS.map(() => 0);
  readonly #records = RECORD_EVERY.map((samples) => new DeviationRecord(HALF_LIFE, samples));
  #error = 0;
  #samples = 0;

  /** Mean absolute error, large ones counting as no more than some usual ones. */
  get error(): number {
    return this.#error;
  }

  get samples(): number {
    return this.#samples;
  }

  /** @param usual size of an error of this signal, for clipping; 0: not known */
  observe(error: number, usual: number): void {
    this.#samples += 1;
    const clipped = usual > 0 ? Math.min(Math.abs(error), CLIP * usual) : Math.abs(error);
    this.#error += (clipped - this.#error) / Math.min(this.#samples, ERROR_SAMPLES);
    for (let index = 0; index < RUNS.length; index += 1) {
      const run = this.#runs[index] ?? 0;
      this.#runs[index] = run + (error - run) * (2 / ((RUNS[index] ?? 1) + 1));
    }
  }

  /** How far a run deviates, as a multiple of what would be remarkable; its sign is that of the deviation. To be asked before `keep`. */
  score(index: number): number {
    const run = this.#runs[index] ?? 0;
    if (run === 0 || this.#samples < SPANS_MIN * (RUNS[index] ?? 1)) return 0;
    const record = this.#records[index]?.remarkable(this.#beyond(index)) ?? 0;
    const ratio = run / record;
    // What never deviated before and does now is remarkable, and nobody knows how much.
    return record === 0 ? Math.sign(run) * NEVER_BEFORE : Math.max(-SCORE_MAX, Math.min(SCORE_MAX, ratio));
  }

  /** More where the record is of few independent runs. */
  #beyond(index: number): number {
    const runs = Math.min(this.#samples, HALF_LIFE) / (RUNS[index] ?? 1);
    return (BEYOND[index] ?? 1) * (1 + UNSURE / Math.sqrt(runs));
  }

  /** What was observed becomes part of the record. @param part of it that does @param sizeOf a deviation that matters */
  keep(part: number, sizeOf: (deviation: number) => number): void {
    for (let index = 0; index < RUNS.length; index += 1) {
      if (this.#samples % (RECORD_EVERY[index] ?? 1) !== 0) continue;
      this.#records[index]?.add(sizeOf(this.#runs[index] ?? 0), part);
    }
  }

  get memory(): Pick<ModelMemory, 'error' | 'observed' | 'records'> {
    return { error: this.#error, observed: this.#samples, records: this.#records.map(({ memory }) => memory) };
  }

  restore({ error, observed, records }: Pick<ModelMemory, 'error' | 'observed' | 'records'>): void {
    this.#error = error;
    this.#samples = observed;
    for (const [index, memory] of records.entries()) this.#records[index]?.restore(memory);
  }

  /** After a silence runs begin anew. */
  forgetRuns(): void {
    this.#runs.fill(0);
  }
}

const NEVER_BEFORE = 1.01;
const SCORE_MAX = 1000;
