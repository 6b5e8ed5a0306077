// What a carousel without any losses would need: the measure beside which ours is put.
import { assert } from '../../src/base/mod.ts';

/** Starts of K jobs spread evenly over a window, the first at 0 and the last at its end; in units of one pass. */
export function spreadStarts(count: number, windowPasses: number): number[] {
  assert(count >= 1, 'at least one job');
  return Array.from({ length: count }, (_, index) => (count === 1 ? 0 : (index * windowPasses) / (count - 1)));
}

export interface Ideal {
  /** Source passes: the time during which at least one job runs, each job taking exactly one pass. */
  readonly passes: number;
  /** From the first start to the last end, in passes. */
  readonly makespanPasses: number;
}

/**
 * While somebody needs blocks the carousel turns, so its passes are the length of the union of [start, start + 1]. With
 * gaps of less than a pass that is 1 + W; with longer gaps less, because it stands still in between.
 */
export function idealCarousel(starts: readonly number[]): Ideal {
  const sorted = [...starts].sort((a, b) => a - b);
  let passes = 0;
  let coveredTo = Number.NEGATIVE_INFINITY;
  for (const start of sorted) {
    passes += start + 1 - Math.max(start, coveredTo);
    coveredTo = start + 1;
  }
  return { passes, makespanPasses: coveredTo - (sorted[0] ?? 0) };
}
