// Goal: one slow or stopped target costs the others nothing, and a detachment that would help nobody does not happen.
// Method: simulated time; each target takes so many milliseconds for a block.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { check, PROPERTY_MS_MAX } from './check.ts';
import { checkResults } from './results.ts';
import { simulate } from './rig.ts';
import { type ConsumerPlan, consumers, plainConsumer, plainScenario, type Scenario, scenarios } from './scenario.ts';

/** What is promised (ARCHITECTURE.md), in numbers of the test's own. */
const BUDGET_MS = 250;
/** How often the producer looks who holds it up. */
const LOOK_MS = 50;

function run(scenario: Scenario) {
  const outcome = simulate(scenario);
  checkResults(scenario, outcome);
  return outcome;
}

describe('slow targets', () => {
  test(
    'others finish although some are stopped for good, and those finish when they go on',
    () => {
      const stops = fc.record({
        kind: fc.constant('stops' as const),
        atAccess: fc.integer({ min: 1, max: 400 }),
        forMs: fc.constant(null),
      });
      const living = consumers.map((plan): ConsumerPlan => ({ ...plan, pace: false, fate: { kind: 'lives' } }));
      const stopping = fc
        .tuple(living, stops)
        .map(([plan, fate]): ConsumerPlan => ({ ...plan, fate, badBlock: null, onReadError: 'zero' }));
      const plans = fc
        .tuple(fc.array(living, { minLength: 1, maxLength: 3 }), fc.array(stopping, { minLength: 1, maxLength: 2 }))
        .map(([living, stopping]) => [...stopping, ...living]);
      check(fc.tuple(scenarios, plans), 300, ([scenario, plans]) => {
        run({ ...scenario, consumers: plans });
      });
    },
    PROPERTY_MS_MAX,
  );

  test(
    'a target at a fifth of the speed of the others or less is soon detached',
    () => {
      const speeds = fc.record({
        seed: fc.nat(),
        fast: fc.integer({ min: 1, max: 2 }),
        slowMs: fc.integer({ min: 5, max: 300 }),
        fastMs: fc.integer({ min: 1, max: 10 }),
        slotCount: fc.constantFrom(4, 16),
      });
      check(speeds, 8, ({ seed, fast, slowMs, fastMs, slotCount }) => {
        const paceMs = Math.min(fastMs, slowMs / 5);
        const consumer = (writeMs: number): ConsumerPlan => ({ ...plainConsumer, writeMs });
        const scenario = {
          ...plainScenario,
          seed,
          slotCount,
          blockCount: Math.ceil(1200 / paceMs),
          readMs: paceMs / 2,
        };
        const others = Array.from({ length: fast }, () => consumer(paceMs));
        const alone = run({ ...scenario, consumers: others }).consumers;
        const together = run({ ...scenario, consumers: [consumer(slowMs), ...others] }).consumers;
        const ended = (all: typeof alone): number => Math.max(...all.slice(-fast).map((one) => one.endedAtMs)) - 1000;
        expect(together[0]?.detachments).toBeGreaterThan(0);
        // The budget, once more on probation after a return, and what a last write of the slow one may take.
        expect(ended(together)).toBeLessThan(ended(alone) + 2 * BUDGET_MS + 2 * slowMs);
      });
    },
    PROPERTY_MS_MAX,
  );

  test(
    'a target that stops costs the others a quarter of a second, and no more than it takes to look',
    () => {
      const stops = fc.record({
        seed: fc.nat(),
        atAccess: fc.integer({ min: 20, max: 300 }),
        fast: fc.integer({ min: 1, max: 3 }),
        fastMs: fc.integer({ min: 0, max: 20 }),
        readMs: fc.integer({ min: 0, max: 20 }),
        slotCount: fc.constantFrom(4, 8, 16),
      });
      let dearest = 0;
      let detached = 0;
      check(stops, 150, ({ atAccess, fast, fastMs, ...rest }) => {
        const scenario = { ...plainScenario, ...rest, blockCount: 60 };
        const others = Array.from({ length: fast }, (): ConsumerPlan => ({ ...plainConsumer, writeMs: fastMs }));
        const stopping: ConsumerPlan = { ...plainConsumer, fate: { kind: 'stops', atAccess, forMs: null } };
        const ended = (all: readonly { endedAtMs: number }[]): number =>
          Math.max(...all.slice(-fast).map((one) => one.endedAtMs));
        const alone = ended(run({ ...scenario, consumers: others }).consumers);
        const { consumers } = run({ ...scenario, consumers: [stopping, ...others] });
        expect(consumers[0]?.detachments).toBeLessThanOrEqual(1);
        detached += consumers[0]?.detachments ?? 0;
        const cost = ended(consumers) - alone;
        dearest = Math.max(dearest, cost);
        // Nothing moves while it is waited for, so what was under way then comes after: a reading and a write.
        expect(cost).toBeLessThanOrEqual(BUDGET_MS + LOOK_MS + 4 * rest.readMs + 2 * fastMs);
      });
      expect(detached).toBeGreaterThan(100);
      expect(dearest).toBeGreaterThanOrEqual(BUDGET_MS);
    },
    PROPERTY_MS_MAX,
  );

  test(
    'nobody is detached where all are equally slow, or alone',
    () => {
      const equals = fc.record({
        seed: fc.nat(),
        count: fc.integer({ min: 1, max: 4 }),
        writeMs: fc.constantFrom(0, 1, 20, 60, 400),
        readMs: fc.constantFrom(0, 1, 30, 300),
        slotCount: fc.constantFrom(4, 8),
      });
      check(equals, 60, ({ count, writeMs, ...rest }) => {
        const plans = Array.from({ length: count }, () => ({ ...plainConsumer, writeMs }));
        const { consumers } = run({ ...plainScenario, ...rest, blockCount: 40, consumers: plans });
        expect(consumers.map((consumer) => consumer.detachments)).toEqual(consumers.map(() => 0));
      });
    },
    PROPERTY_MS_MAX,
  );
});
