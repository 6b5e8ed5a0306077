// How large deviations have been: counts by size, in steps of a quarter of a power of two, the old ones fading. What it says grows
// and shrinks with the signal, for its steps begin at the first deviation that there was. Its memory does not grow.

const STEPS = 160;
const STEPS_PER_DOUBLING = 4;
const FIRST = STEPS / 2;
/** Weights grow with time instead of all counts shrinking; beyond this they are made small again. */
const WEIGHT_MAX = 1e100;
/** What is exceeded less often is no part of the record. */
const RARE_SHARE = 0.001;
/** Looking through all steps for each sample would be most of the work, for what changes slowly. */
const RENEW_EVERY = 16;

export class DeviationRecord {
  readonly #counts = new Float64Array(STEPS);
  readonly #growth: number;
  #weight = 1;
  #total = 0;
  /** 0: nothing has ever deviated. */
  #unit = 0;
  #logUnit = 0;
  #added = 0;
  #remembered = 0;
  #rememberedAt = Number.NEGATIVE_INFINITY;

  /** @param halfLife samples after which a deviation counts half */
  constructor(halfLife: number) {
    this.#growth = 2 ** (1 / halfLife);
  }

  /** @param size finite, not negative */
  add(size: number): void {
    this.#added += 1;
    if (this.#unit === 0 && size > 0) {
      this.#unit = size;
      this.#logUnit = Math.log2(size);
    }
    if (this.#unit > 0) {
      const step = size > 0 ? Math.round((Math.log2(size) - this.#logUnit) * STEPS_PER_DOUBLING) + FIRST : 0;
      const index = Math.max(0, Math.min(STEPS - 1, step));
      this.#counts[index] = (this.#counts[index] ?? 0) + this.#weight;
    }
    this.#total += this.#weight;
    this.#weight *= this.#growth;
    if (this.#weight > WEIGHT_MAX) this.#shrink();
  }

  /** The size that all but this share of the deviations stay below, but for the newest few; 0 when that is no deviation at all. */
  get remarkable(): number {
    if (this.#added >= this.#rememberedAt + RENEW_EVERY) {
      this.#remembered = this.#exceeded();
      this.#rememberedAt = this.#added;
    }
    return this.#remembered;
  }

  #exceeded(): number {
    let left = RARE_SHARE * this.#total;
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
