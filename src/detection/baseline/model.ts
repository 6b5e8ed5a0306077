// One way to foresee a signal: a level that follows slowly, alone or upon a shape that returns each period. Each way has a level, a measure of what
// is usual and a record of its own, so none of them has to pay for what another has yet to learn.
import { Expectation } from './expectation.ts';
import type { ModelMemory } from './memory.ts';
import type { Rhythm } from './rhythm.ts';

/** A level follows about so many samples; upon a shape, which has what returns, it has less to follow. */
const LEVEL_SAMPLES = 144;
const LEVEL_SAMPLES_WITH_SHAPE = 2000;
const USUAL_SAMPLES = 500;
/** What is farther off than so many usual errors moves level, shape and the usual no more than that. */
const CLIP = 4;
const USUAL_CLIP = 6;

export class Model {
  readonly expectation = new Expectation();
  readonly #shape: Rhythm | null;
  readonly #levelSamples: number;
  #level = 0;
  #usual = 0;
  #samples = 0;
  #expected: number | null = null;
  #error = 0;

  /** @param shape null: there is none, only the level */
  constructor(shape: Rhythm | null) {
    this.#shape = shape;
    this.#levelSamples = shape === null ? LEVEL_SAMPLES : LEVEL_SAMPLES_WITH_SHAPE;
  }

  get memory(): ModelMemory {
    const shape = this.#shape?.memory ?? { means: [], visits: [] };
    const { expectation } = this;
    return { level: this.#level, usual: this.#usual, samples: this.#samples, ...expectation.memory, ...shape };
  }

  restore(memory: ModelMemory): void {
    this.#level = memory.level;
    this.#usual = memory.usual;
    this.#samples = memory.samples;
    this.expectation.restore(memory);
    this.#shape?.restore(memory);
  }

  /** For the last sample; null: nothing was known of its time yet. */
  get expected(): number | null {
    return this.#expected;
  }

  /** Size of an error. */
  get usual(): number {
    return this.#usual;
  }

  /** @param samples that were taken @param level their middle @param usual their middle distance from it */
  begin(samples: number, level: number, usual: number): void {
    this.#samples = samples;
    // A shape tells itself where it is, and the level upon it begins at 0.
    if (this.#shape === null) this.#level = level;
    this.#usual = usual;
  }

  /** @param usual size of an error of this signal, the same for all ways, so that they can be compared */
  observe(atMs: number, value: number, usual: number): void {
    const shape = this.#shape === null ? 0 : this.#shape.enter(atMs);
    this.#expected = shape === null ? null : shape + this.#level;
    if (this.#expected === null) return;
    this.#error = value - this.#expected;
    this.expectation.observe(this.#error, usual);
  }

  /** What was observed becomes part of what is known. @param part of it that goes into the record @param sizeOf a deviation that matters */
  learn(value: number, part: number, sizeOf: (deviation: number) => number): void {
    if (this.#expected === null) {
      this.#shape?.learn(value - this.#level);
      return;
    }
    this.expectation.keep(part, sizeOf);
    this.#samples += 1;
    const error = this.#error;
    const before = this.#usual;
    const size = before > 0 ? Math.min(Math.abs(error), USUAL_CLIP * before) : Math.abs(error);
    this.#usual += (size - before) / Math.min(this.#samples, USUAL_SAMPLES);
    const bound = CLIP * this.#usual;
    const step = bound > 0 ? Math.max(-bound, Math.min(bound, error)) : error;
    this.#shape?.learn(this.#expected - this.#level + step);
    this.#level += step / Math.min(this.#samples, this.#levelSamples);
  }
}
