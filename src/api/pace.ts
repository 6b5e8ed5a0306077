// How often one caller may ask: a bucket that fills steadily (a token bucket), so that a burst passes and a flood does
// not.

export interface PaceLimits {
  readonly perSecond: number;
  readonly burst: number;
}

/** An agent reports every five seconds, and at once when its verdict changes, which is looked at once a second. */
export const AGENT_PACE: PaceLimits = { perSecond: 5, burst: 20 };

export class Pace {
  readonly #limits: PaceLimits;
  readonly #nowMs: () => number;
  readonly #buckets = new Map<string, { left: number; atMs: number }>();

  constructor(limits: PaceLimits, nowMs: () => number = () => performance.now()) {
    this.#limits = limits;
    this.#nowMs = nowMs;
  }

  /** @param name of somebody who was authenticated: what is remembered is bounded by those who exist */
  take(name: string): boolean {
    const { perSecond, burst } = this.#limits;
    const nowMs = this.#nowMs();
    const bucket = this.#buckets.get(name) ?? { left: burst, atMs: nowMs };
    bucket.left = Math.min(burst, bucket.left + ((nowMs - bucket.atMs) / 1000) * perSecond);
    bucket.atMs = nowMs;
    this.#buckets.set(name, bucket);
    if (bucket.left < 1) return false;
    bucket.left -= 1;
    return true;
  }
}
