// What a signal usually is at a time of the day, or of the week: one value for each part of the period, the mean of the visits to that part,
// later visits counting more. Times are those of UTC.
import { type ModelMemory, short } from './memory.ts';

/** Visits that a part remembers: each new one counts for one of so many. */
const VISITS_REMEMBERED = 12;
/** As long as a part was visited less often than this, its neighbours say as much as it does itself; later less and less. */
const VISITS_ALONE = 2;

export class Rhythm {
  readonly #partMs: number;
  readonly #means: Float64Array;
  readonly #visits: Float64Array;
  /** Where the signal is now, from when until when, and what is usual there. */
  #part = -1;
  #fromMs = Number.POSITIVE_INFINITY;
  #untilMs = Number.NEGATIVE_INFINITY;
  #usual: number | null = null;
  #sum = 0;
  #count = 0;

  /** @param parts of the period, each of `partMs` */
  constructor(partMs: number, parts: number) {
    this.#partMs = partMs;
    this.#means = new Float64Array(parts);
    this.#visits = new Float64Array(parts);
  }

  /** The signal is at this time now. @returns what is usual; null: it was not there at this time before */
  enter(atMs: number): number | null {
    if (atMs < this.#fromMs || atMs >= this.#untilMs) this.#move(Math.floor(atMs / this.#partMs));
    return this.#usual;
  }

  /** A value where the signal is now. It is of use when the same part comes again. */
  learn(value: number): void {
    this.#sum += value;
    this.#count += 1;
  }

  /** Without the visit that goes on. */
  get memory(): Pick<ModelMemory, 'means' | 'visits'> {
    return { means: [...this.#means].map(short), visits: [...this.#visits] };
  }

  restore({ means, visits }: Pick<ModelMemory, 'means' | 'visits'>): void {
    if (means.length !== this.#means.length) return;
    this.#means.set(means);
    this.#visits.set(visits);
  }

  #move(count: number): void {
    this.#keepVisit();
    const parts = this.#means.length;
    this.#fromMs = count * this.#partMs;
    this.#untilMs = this.#fromMs + this.#partMs;
    this.#part = ((count % parts) + parts) % parts;
    this.#usual = this.#usualIn(this.#part);
  }

  #usualIn(part: number): number | null {
    const visits = this.#visits[part] ?? 0;
    if (visits === 0) return null;
    const parts = this.#means.length;
    const share = Math.min(1, VISITS_ALONE / visits);
    let sum = 2 * (this.#means[part] ?? 0);
    let weight = 2;
    for (const neighbour of [(part + parts - 1) % parts, (part + 1) % parts]) {
      if (this.#visits[neighbour] === 0) continue;
      sum += share * (this.#means[neighbour] ?? 0);
      weight += share;
    }
    return sum / weight;
  }

  #keepVisit(): void {
    if (this.#count > 0) {
      const visits = (this.#visits[this.#part] ?? 0) + 1;
      const before = this.#means[this.#part] ?? 0;
      this.#visits[this.#part] = visits;
      this.#means[this.#part] = before + (this.#sum / this.#count - before) / Math.min(visits, VISITS_REMEMBERED);
    }
    this.#sum = 0;
    this.#count = 0;
  }
}
