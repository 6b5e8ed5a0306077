// What a signal usually is at a time of the day, or of the week, above or below its level: one value for each part of the period, of
// each visit to that part the mean, later visits counting more. Times are those of UTC.

/** Visits that a part remembers: each new one counts for one of so many. */
const VISITS_REMEMBERED = 6;

export class Rhythm {
  readonly #partMs: number;
  readonly #offsets: Float64Array;
  readonly #visits: Float64Array;
  #part = -1;
  #sum = 0;
  #count = 0;

  /** @param parts of the period, each of `partMs` */
  constructor(partMs: number, parts: number) {
    this.#partMs = partMs;
    this.#offsets = new Float64Array(parts);
    this.#visits = new Float64Array(parts);
  }

  /** null: it was not there at this time before. */
  offsetAt(atMs: number): number | null {
    const part = this.#partOf(atMs);
    return this.#visits[part] === 0 ? null : (this.#offsets[part] ?? 0);
  }

  /** @param offset from the level; what is learned is of use when the same part comes again */
  learn(atMs: number, offset: number): void {
    const part = this.#partOf(atMs);
    if (part !== this.#part) {
      this.#keepVisit();
      this.#part = part;
    }
    this.#sum += offset;
    this.#count += 1;
  }

  #keepVisit(): void {
    if (this.#count > 0) {
      const visits = (this.#visits[this.#part] ?? 0) + 1;
      const before = this.#offsets[this.#part] ?? 0;
      this.#visits[this.#part] = visits;
      this.#offsets[this.#part] = before + (this.#sum / this.#count - before) / Math.min(visits, VISITS_REMEMBERED);
    }
    this.#sum = 0;
    this.#count = 0;
  }

  #partOf(atMs: number): number {
    const parts = this.#offsets.length;
    const part = Math.floor(atMs / this.#partMs) % parts;
    return part < 0 ? part + parts : part;
  }
}
