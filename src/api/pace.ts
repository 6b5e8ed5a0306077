// How often one caller may ask: a bucket that fills steadily (a token bucket), so that a burst passes and a flood does
// not.

export interface PaceLimits {
  readonly perSecond: number;
  readonly burst: number;
}

/** An agent reports every five seconds, and at once when its verdict changes, which is looked at once a second. */
export const AGENT_PACE: PaceLimits = { perSecond: 5, burst: 20 };

export interface PaceOptions {
  /** Names that are remembered; with the next, the one that asked longest ago is forgotten. @default all */
  readonly namesMax?: number;
  /** @default performance.now */
  readonly nowMs?: () => number;
}

export class Pace {
  readonly #limits: PaceLimits;
  readonly #namesMax: number;
  readonly #nowMs: () => number;
  /** The name that asked longest ago first. */
  readonly #buckets = new Map<string, { left: number; atMs: number }>();

  constructor(
    limits: PaceLimits,
    { namesMax = Number.POSITIVE_INFINITY, nowMs = () => performance.now() }: PaceOptions = {},
  ) {
    this.#limits = limits;
    this.#namesMax = namesMax;
    this.#nowMs = nowMs;
  }

  /**
   * @param name of somebody who was authenticated, so that those who exist bound what is remembered; else `namesMax`
   */
  take(name: string): boolean {
    const { perSecond, burst } = this.#limits;
    const nowMs = this.#nowMs();
    const bucket = this.#buckets.get(name) ?? { left: burst, atMs: nowMs };
    bucket.left = Math.min(burst, bucket.left + ((nowMs - bucket.atMs) / 1000) * perSecond);
    bucket.atMs = nowMs;
    this.#buckets.delete(name);
    this.#buckets.set(name, bucket);
    const [longest] = this.#buckets.keys();
    if (this.#buckets.size > this.#namesMax && longest !== undefined) this.#buckets.delete(longest);
    if (bucket.left < 1) return false;
    bucket.left -= 1;
    return true;
  }
}
