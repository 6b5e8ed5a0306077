// The store is lost in every phase of an engagement, in every way: nothing is engaged before it is recovered, and the
// spare gets its own data back byte for byte. All of it with `npm run proof:recover`; a share of it each time.
import { resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { runTool } from '../../src/base/mod.ts';
import type { Phase } from '../../src/controller/mod.ts';
import { losses } from '../rig/lost-store.ts';
import type { LostStoreCase } from '../rig/lost-store-play.ts';
import { patience } from '../rig/patience.ts';

const PROGRAM = resolve('dist/test/rig/lost-store-play.js');
const UP: readonly Phase[] = ['choose', 'fence', 'preserve', 'replicate', 'personalise', 'boot', 'prove', 'admit'];
const DOWN: readonly Phase[] = ['drain', 'off', 'restore', 'release'];
const PHASES: readonly Phase[] = [...UP, 'serving', ...DOWN];
/** One case in so many; it has no divisor in common with the number of losses and deaths. */
const EVERY = process.env.UNDERSTUDY_LOST_STORE === 'all' ? 1 : 17;
/** From the record of a phase to the death: at once, and in the middle of what it does. */
const DEATHS_MS = [0, 15] as const;

const cases: readonly LostStoreCase[] = PHASES.flatMap((phase) =>
  losses.flatMap((loss) => DEATHS_MS.map((afterMs) => ({ phase, loss, afterMs }))),
).filter((_, index) => index % EVERY === 0);

describe('a store that is lost', () => {
  it.each(cases)(
    'lost store - $loss, $afterMs ms into $phase: nothing is engaged, and all is given back',
    async (one) => {
      const { status, stderr } = await runTool(process.execPath, [PROGRAM, JSON.stringify(one)], {
        timeoutMs: patience(60_000),
      });
      expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    },
    patience(90_000),
  );

  it(
    'lost store - a controller that was paused before is refused by every driver',
    async () => {
      const { status, stderr } = await runTool(process.execPath, [PROGRAM, 'paused'], { timeoutMs: patience(60_000) });
      expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    },
    patience(90_000),
  );
});
