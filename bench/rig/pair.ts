// Speeds of a shared disk drift within minutes, so two contenders are compared only by runs next to each other:
// A B A B ..., one ratio a pair, and of those the median with the smallest and the largest.
import { assert, present } from '../../src/base/mod.ts';

export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
  readonly count: number;
}

export function spreadOf(values: readonly number[]): Spread {
  assert(values.length > 0, 'at least one value');
  const sorted = [...values].sort((a, b) => a - b);
  const at = (index: number): number => present(sorted[index], 'a sorted value');
  const middle = sorted.length / 2;
  const median = sorted.length % 2 === 1 ? at(Math.floor(middle)) : (at(middle - 1) + at(middle)) / 2;
  return { median, min: at(0), max: at(sorted.length - 1), count: sorted.length };
}

export interface Comparison<A, B = A> {
  readonly a: readonly A[];
  readonly b: readonly B[];
}

/** Runs A B A B ... so many rounds. */
export async function alternate<A, B>(
  rounds: number,
  runA: () => Promise<A>,
  runB: () => Promise<B>,
): Promise<Comparison<A, B>> {
  assert(rounds >= 1, 'at least one round');
  const a: A[] = [];
  const b: B[] = [];
  for (let round = 0; round < rounds; round++) {
    a.push(await runA());
    b.push(await runB());
  }
  return { a, b };
}

/** A divided by B, pair by pair. */
export function ratiosOf<A, B>(
  comparison: Comparison<A, B>,
  valueA: (a: A) => number,
  valueB: (b: B) => number,
): Spread {
  return spreadOf(
    comparison.a.map((a, round) => valueA(a) / valueB(present(comparison.b[round], 'the pair of a run'))),
  );
}

/** "1.03 (0.98-1.10)": median, smallest and largest. */
export function formatSpread(spread: Spread, digits = 2): string {
  const [median, min, max] = [spread.median, spread.min, spread.max].map((value) => value.toFixed(digits));
  return spread.count === 1 ? `${median} (one)` : `${median} (${min}-${max})`;
}
