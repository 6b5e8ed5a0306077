// How large deviations have been: counts by size, in steps of a quarter of a power of two, the old ones fading. What it says grows
// and shrinks with the signal, for its steps begin at the first deviation that there was. Its memory does not grow.

import { type RecordMemory, short } from './memory.ts';

const STEPS = 160;
const STEPS_PER_DOUBLING = 4;
const FIRST = STEPS / 2;
/** Weights grow with time instead of all counts shrinking; beyond this they are made small again. */
const WEIGHT_MAX = 1e100;
/** What is exceeded less often is no part of the record. */
const RARE_SHARE = 0.0005;
const SELDOM_SHARE = 0.005;
/** Looking through all steps for each sample would be most of the work, for what changes slowly. */
const RENEW_SAMPLES = 16;

export class DeviationRecord {
  readonly #counts = new Float64Array(STEPS);
  readonly #growth: number;
  readonly #renewEvery: number;
  #weight = 1;
  #total = 0;
  /** 0: nothing has ever deviated. */
  #unit = 0;
  #logUnit = 0;
  #added = 0;
  #remembered = 0;
  #rememberedAt = Number.NEGATIVE_INFINITY;

  /** @param halfLife samples after which a deviation counts half @param every one of so many samples is added */
  constructor(halfLife: number, every: number) {
    this.#renewEvery = Math.max(1, Math.floor(RENEW_SAMPLES / every));
    this.#growth = 2 ** (every / halfLife);
  }

  /** @param size finite, not negative @param part of a deviation that it counts for: above 0, up to 1 */
  add(size: number, part: number): void {
    this.#added += 1;
    if (this.#unit === 0 && size > 0) {
      this.#unit = size;
      this.#logUnit = Math.log2(size);
    }
    if (this.#unit > 0) {
      const step = size > 0 ? Math.round((Math.log2(size) - this.#logUnit) * STEPS_PER_DOUBLING) + FIRST : 0;
      const index = Math.max(0, Math.min(STEPS - 1, step));
      this.#counts[index] = (this.#counts[index] ?? 0) + part * this.#weight;
    }
    this.#total += part * this.#weight;
    this.#weight *= this.#growth;
    if (this.#weight > WEIGHT_MAX) this.#shrink();
  }

  /** The size from which on a deviation is remarkable; 0 when there was none at all. @param beyond the least that it exceeds the record by */
  remarkable(beyond: number): number {
    if (this.#added >= this.#rememberedAt + this.#renewEvery) {
      const [rare, seldom] = [this.#exceededBy(RARE_SHARE), this.#exceededBy(SELDOM_SHARE)];
      // What now and then is far larger than usual will be as much larger again: the step from seldom to rare is made once more.
      const tail = seldom > 0 ? rare / seldom : 1;
      this.#remembered = rare * Math.max(beyond, tail);
      this.#rememberedAt = this.#added;
    }
    return this.#remembered;
  }

  get memory(): RecordMemory {
    this.#shrink();
    const counts = [...this.#counts.entries()].filter(([, count]) => count > 0);
    return {
      counts: counts.map(([step, count]) => [step, short(count)] as const),
      total: short(this.#total),
      unit: this.#unit,
      added: this.#added,
    };
  }

  restore({ counts, total, unit, added }: RecordMemory): void {
    for (const [step, count] of counts) if (step in this.#counts) this.#counts[step] = count;
    this.#total = total;
    this.#unit = unit;
    this.#logUnit = Math.log2(unit);
    this.#added = added;
  }

  #exceededBy(share: number): number {
    let left = share * this.#total;
    for (let step = STEPS - 1; step > 0; step -= 1) {
      left -= this.#counts[step] ?? 0;
      if (left < 0) return this.#unit * 2 ** ((step - FIRST + 0.5) / STEPS_PER_DOUBLING);
    }
    return 0;
  }

  #shrink(): void {
    for (let step = 0; step < STEPS; step += 1) this.#counts[step] = (this.#counts[step] ?? 0) / this.#weight;
    this.#total /= this.#weight;
    this.#weight = 1;
  }
}
