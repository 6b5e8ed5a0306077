// Goal: whoever joins, leaves, stops or dies, and whenever, every copy that ends well is the source's, nobody waits for ever,
// and the source is read no more often than it must be. Method: the real cores in a simulated world (world.ts), which checks
// each read, each write and each block that is counted while it runs.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { check, PROPERTY_MS_MAX } from './check.ts';
import { checkResults } from './results.ts';
import { simulate } from './rig.ts';
import { BLOCK_BYTES, type ConsumerPlan, consumers, crowds, type Scenario, scenarios } from './scenario.ts';

function run(scenario: Scenario) {
  const outcome = simulate(scenario);
  checkResults(scenario, outcome);
  return outcome;
}

/** Nobody leaves before the end, nobody fails, nobody is detached. */
const patient = consumers.map((plan): ConsumerPlan => {
  const stops = plan.fate.kind === 'stops';
  return { ...plan, pace: true, badBlock: null, losses: 0, fate: stops ? plan.fate : { kind: 'lives' } };
});
const unhurt = { producerDeaths: [], faults: [], change: null };

describe('the ring', () => {
  test(
    'whatever happens, every copy ends as it must',
    () => {
      check(scenarios, 400, (scenario) => {
        run(scenario);
      });
    },
    PROPERTY_MS_MAX,
  );

  test(
    'whatever happens in a crowd, every copy ends as it must',
    () => {
      check(crowds, 500, (scenario) => {
        run(scenario);
      });
    },
    PROPERTY_MS_MAX,
  );

  test(
    'copies that start together read each needed block once',
    () => {
      const together = fc.array(
        patient.map((plan) => ({ ...plan, joinAtRead: 0 })),
        { minLength: 1, maxLength: 4 },
      );
      check(fc.tuple(scenarios, together), 300, ([scenario, plans]) => {
        const { producer, consumers } = run({ ...scenario, ...unhurt, consumers: plans });
        const wanted = producer.reads.map((_, block) => (consumers.some(({ needs }) => needs.has(block)) ? 1 : 0));
        expect(producer.reads).toEqual(wanted);
      });
    },
    PROPERTY_MS_MAX,
  );

  test(
    'a joiner costs at most one more reading of each block that it needs, and ends within the next sweep',
    () => {
      const plans = fc.array(patient, { minLength: 2, maxLength: 5 });
      let joinedInTheMiddle = 0;
      check(fc.tuple(scenarios, plans), 300, ([scenario, plans]) => {
        const { world, producer, consumers } = run({ ...scenario, ...unhurt, consumers: plans });
        const late = consumers.filter(({ plan }) => plan.joinAtRead > 0);
        for (const [block, reads] of producer.reads.entries()) {
          const joiners = late.filter(({ needs }) => needs.has(block)).length;
          const first = consumers.some(({ plan, needs }) => plan.joinAtRead === 0 && needs.has(block)) ? 1 : 0;
          expect(reads).toBeLessThanOrEqual(first + joiners);
        }
        // Who comes while the producer is deciding which block is next may come too late for the sweep that this begins.
        const undecided = scenario.preemptEvery === 0 ? 0 : 1;
        const joined = Math.max(...consumers.map((one) => one.joinedAfterWraps));
        expect(world.wraps).toBeLessThanOrEqual(joined + 1 + undecided);
        if (world.wraps > 0) joinedInTheMiddle += 1;
      });
      expect(joinedInTheMiddle).toBeGreaterThan(20);
    },
    PROPERTY_MS_MAX,
  );

  test(
    'every wake-up is rung after the change that it announces: without one time-out, every copy is done',
    () => {
      // Who dies rings no bell, and who is detached after a while is so by time; neither happens here.
      const plans = fc.array(patient, { minLength: 1, maxLength: 5 });
      check(fc.tuple(fc.oneof(scenarios, crowds), plans), 600, ([scenario, plans]) => {
        const { consumers } = run({ ...scenario, ...unhurt, consumers: plans, wakesOnly: true });
        expect(consumers.map(({ result }) => result)).toEqual(consumers.map(() => 'done'));
      });
    },
    PROPERTY_MS_MAX,
  );

  test(
    'producers may die at any access to shared memory, one after the other, and nobody loses a block',
    () => {
      const plans = fc.array(
        consumers.map((plan): ConsumerPlan => ({ ...plan, badBlock: null, fate: { kind: 'lives' } })),
        { minLength: 1, maxLength: 3 },
      );
      const deaths = fc.array(fc.nat({ max: 2500 }), { minLength: 2, maxLength: 12, size: 'max' });
      let died = 0;
      check(fc.tuple(scenarios, plans, deaths), 300, ([scenario, plans, producerDeaths]) => {
        const { producer, consumers } = run({ ...scenario, faults: [], producerDeaths, consumers: plans });
        expect(consumers.map(({ result }) => result)).toEqual(consumers.map(() => 'done'));
        died += producer.deaths;
      });
      expect(died).toBeGreaterThan(300);
    },
    PROPERTY_MS_MAX,
  );

  test(
    'a source that changes between two sweeps ends the copies that are not complete',
    () => {
      const changes = fc.record({ block: fc.nat(), afterReads: fc.nat({ max: 6 }) });
      const plans = fc.array(patient, { minLength: 2, maxLength: 5 });
      let noticed = 0;
      check(fc.tuple(scenarios, changes, plans), 400, ([base, change, plans]) => {
        const block = change.block % base.blockCount;
        const scenario = { ...base, ...unhurt, change: { ...change, block }, consumers: plans };
        const { producer, consumers } = simulate(scenario);
        const outcomes = new Set(consumers.map(({ result }) => result));
        if (producer.readsAfterChange === 0) {
          expect(outcomes).toEqual(new Set(['done']));
          return;
        }
        // The world compares each copy that is done with the content before the change.
        noticed += 1;
        expect(producer.failure?.code).toBe('SOURCE_CHANGED');
        for (const outcome of outcomes) expect(['done', 'SOURCE_CHANGED', 'PRODUCER_FAILED']).toContain(outcome);
      });
      expect(noticed).toBeGreaterThan(20);
    },
    PROPERTY_MS_MAX,
  );
});

test('the image is as long as its scenario says', () => {
  check(scenarios, 20, (scenario) => {
    const { world } = simulate({ ...scenario, ...unhurt });
    expect(world.content.byteLength).toBe((scenario.blockCount - 1) * BLOCK_BYTES + scenario.lastBytes);
  });
});
