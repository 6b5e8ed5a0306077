// How often a property is tried. Longer runs: UNDERSTUDY_PROPERTY_RUNS=100000 npx vitest run test/property
// The same cases each time, so that one commit has one result; UNDERSTUDY_PROPERTY_SEED=new tries others. A failure
// prints its seed and path; UNDERSTUDY_PROPERTY_SEED=N starts from that seed again.
import fc from 'fast-check';
import { patience } from '../rig/patience.ts';

const wantedRuns = Number(process.env.UNDERSTUDY_PROPERTY_RUNS ?? 0);
const SEED = 1;
const wantedSeed = process.env.UNDERSTUDY_PROPERTY_SEED;

/** For the time-out of a test: long runs take as long as they take. */
export const PROPERTY_MS_MAX = wantedRuns > 0 ? 2 ** 31 - 1 : patience(120_000);

export function check<T>(arbitrary: fc.Arbitrary<T>, runs: number, property: (value: T) => void): void {
  fc.assert(fc.property(arbitrary, property), {
    // Small values are in the arbitraries where they matter; elsewhere they make a run where nothing happens.
    unbiased: true,
    numRuns: Math.max(runs, wantedRuns),
    ...(wantedSeed === 'new' ? {} : { seed: Number(wantedSeed ?? SEED) }),
  });
}
