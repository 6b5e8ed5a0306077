// Goal: sources that only flow are never asked for what has gone by, and tell their size at their end, wherever that is.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { check, PROPERTY_MS_MAX } from './check.ts';
import { checkResults } from './results.ts';
import { simulate } from './rig.ts';
import { BLOCK_BYTES, type ConsumerPlan, consumers, plainScenario, type Scenario, scenarios } from './scenario.ts';

const streams = fc.tuple(scenarios, fc.boolean(), fc.boolean()).map(([scenario, sizeKnown, wholeBlocks]): Scenario => {
  // A size that is a multiple of the block shows only in a reading that gives nothing.
  const lastBytes = wholeBlocks ? BLOCK_BYTES : scenario.lastBytes;
  return { ...scenario, sizeKnown, lastBytes, faults: [], change: null };
});

describe('streams', () => {
  test(
    'that are read once give everything to everybody who came in time, and nobody is detached',
    () => {
      const together = fc.array(
        consumers.map((plan): ConsumerPlan => ({ ...plan, joinAtRead: 0 })),
        { minLength: 1, maxLength: 4 },
      );
      check(fc.tuple(streams, together), 250, ([base, plans]) => {
        const scenario: Scenario = { ...base, access: 'once', producerDeaths: [], consumers: plans };
        const outcome = simulate(scenario);
        checkResults(scenario, outcome);
        expect(outcome.consumers.map((consumer) => consumer.detachments)).toEqual(plans.map(() => 0));
        expect(Math.max(...outcome.producer.reads)).toBeLessThanOrEqual(1);
        expect(outcome.world.wraps).toBe(0);
      });
    },
    PROPERTY_MS_MAX,
  );

  test(
    'that can be rewound serve late joiners, and outlive their producers',
    () => {
      check(streams, 300, (base) => {
        const scenario: Scenario = { ...base, access: 'rewind' };
        checkResults(scenario, simulate(scenario));
      });
    },
    PROPERTY_MS_MAX,
  );

  test('that are longer than the tables of the ring are refused', () => {
    for (const spareBlocks of [-1, 0]) {
      const scenario: Scenario = { ...plainScenario, access: 'once', sizeKnown: false, spareBlocks };
      expect(simulate(scenario).consumers[0]?.result).toBe('SOURCE_TOO_LARGE');
    }
  });
});
