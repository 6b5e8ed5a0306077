// How fast each target advances, averaged so that the number can be read.
import type { CopyProgress, TargetProgress } from '../replication/mod.ts';

/** Rates are averaged over about this long. */
const WINDOW_MS = 3000;
const SAMPLE_MS = 500;

interface Rate {
  atMs: number;
  blocksLeft: number;
  bytesPerSecond: number | null;
}

export class Rates {
  readonly #rates = new Map<string, Rate>();

  /** Bytes a second; null before there is anything to compare with. */
  of(target: TargetProgress, progress: CopyProgress, nowMs: number): number | null {
    const rate = this.#rates.get(target.uri);
    if (rate === undefined || target.blocksLeft > rate.blocksLeft) {
      this.#rates.set(target.uri, { atMs: nowMs, blocksLeft: target.blocksLeft, bytesPerSecond: null });
      return null;
    }
    const elapsedMs = nowMs - rate.atMs;
    if (elapsedMs < SAMPLE_MS) return rate.bytesPerSecond;
    const current = ((rate.blocksLeft - target.blocksLeft) * progress.blockBytes * 1000) / elapsedMs;
    const weight = Math.min(1, elapsedMs / WINDOW_MS);
    const before = rate.bytesPerSecond;
    const bytesPerSecond = before === null ? current : before * (1 - weight) + current * weight;
    this.#rates.set(target.uri, { atMs: nowMs, blocksLeft: target.blocksLeft, bytesPerSecond });
    return bytesPerSecond;
  }
}
