// Goal: no instruction is a bad one to die at. Method: small runs, each repeated with a death before its first store to
// shared memory, before its second, and so on to the end. (Where a process dies between two stores nobody can tell.)
import { describe, expect, test } from 'vitest';
import { present } from '../../src/base/mod.ts';
import { PROPERTY_MS_MAX } from './check.ts';
import { checkResults } from './results.ts';
import { simulate } from './rig.ts';
import { BLOCK_BYTES, type ConsumerPlan, plainConsumer, plainScenario, type Scenario } from './scenario.ts';

const late: ConsumerPlan = { ...plainConsumer, joinAtRead: 5 };
const small: Scenario = { ...plainScenario, blockCount: 6, zeroShare: 0.2, consumers: [plainConsumer, late] };

const scenarios: Readonly<Record<string, Scenario>> = {
  'a disk': small,
  'a disk and a ring as large': { ...small, blockCount: 4, startSequence: -2 },
  'a disk whose first block is held back': {
    ...small,
    consumers: [plainConsumer, late].map((plan) => ({ ...plan, holdsBack: true, losses: 2 })),
  },
  'a stream of unknown length': { ...small, access: 'rewind', sizeKnown: false, lastBytes: 100 },
  'a stream whose length is whole blocks': { ...small, access: 'rewind', sizeKnown: false, lastBytes: BLOCK_BYTES },
  'a slow target': {
    ...small,
    blockCount: 10,
    readMs: 0,
    consumers: [plainConsumer, { ...plainConsumer, writeMs: 260 }],
  },
};

describe('the producer may die before any store to shared memory', () => {
  test.each(Object.keys(scenarios))(
    'of %s',
    (name) => {
      const scenario = scenarios[name] ?? small;
      const { stores } = simulate(scenario).producer;
      expect(stores.length).toBeGreaterThan(40);
      for (const access of stores) {
        const dying = { ...scenario, producerDeaths: [access] };
        const outcome = simulate(dying);
        try {
          checkResults(dying, outcome);
        } catch (error) {
          throw new Error(`death at access ${access}`, { cause: error });
        }
        expect(outcome.producer.deaths).toBe(1);
      }
    },
    PROPERTY_MS_MAX,
  );
});

describe('a consumer may die before any store to shared memory', () => {
  test.each(Object.keys(scenarios))(
    'of %s',
    (name) => {
      const scenario = scenarios[name] ?? small;
      for (const victim of scenario.consumers.keys()) {
        const { stores } = present(simulate(scenario).consumers[victim], 'the victim');
        expect(stores.length).toBeGreaterThan(20);
        for (const access of stores) {
          const consumers = scenario.consumers.map((plan, index): ConsumerPlan => {
            return index === victim ? { ...plan, fate: { kind: 'dies', atAccess: access } } : plan;
          });
          const outcome = simulate({ ...scenario, consumers });
          const results = outcome.consumers.map(({ result }) => result);
          expect(results).toEqual(consumers.map((_, index) => (index === victim ? 'dead' : 'done')));
        }
      }
    },
    PROPERTY_MS_MAX,
  );
});
