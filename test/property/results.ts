// How each consumer may end, given what its scenario does to it and to the source.
import { limits } from '../../src/base/mod.ts';
import type { ConsumerActor } from './consumer-actor.ts';
import type { Outcome } from './rig.ts';
import type { Scenario } from './scenario.ts';
import { Violation } from './world.ts';

/** The first try, the retries, and the search for what can be read. */
const READS_OF_A_BAD_BLOCK = 1 + limits.READ_RETRY_DELAYS_MS.length + 1;

/** Failures that await the reader of each block: below READS_OF_A_BAD_BLOCK nobody hears of them, Infinity tells everybody. */
function failuresOf(scenario: Scenario): ReadonlyMap<number, number> {
  const failures = new Map<number, number>();
  for (const { block, times } of scenario.faults) {
    failures.set(block, (failures.get(block) ?? 0) + (times ?? Number.POSITIVE_INFINITY));
  }
  return failures;
}

function allowedResults(scenario: Scenario, consumer: ConsumerActor): ReadonlySet<ConsumerActor['result']> {
  const { plan, needs } = consumer;
  const needed = (block: number): boolean => block < needs.blockCount && needs.has(block);
  const allowed = new Set<ConsumerActor['result']>(['done']);
  if (plan.badBlock !== null && needed(plan.badBlock)) allowed.add('TARGET_WRITE_FAILED');
  for (const [block, failures] of failuresOf(scenario)) {
    if (plan.onReadError === 'zero' || !needed(block) || failures < READS_OF_A_BAD_BLOCK) continue;
    allowed.add('SOURCE_READ_FAILED');
    if (failures === Number.POSITIVE_INFINITY) allowed.delete('done');
  }
  if (plan.fate.kind === 'aborts') allowed.add('aborted');
  if (plan.fate.kind === 'dies') allowed.add('dead');
  return allowed;
}

/** @throws Violation when somebody ended otherwise than it had to */
export function checkResults(scenario: Scenario, { producer, consumers, world }: Outcome): void {
  if (producer.failure !== null) {
    throw new Violation(`the reading ended: ${producer.failure.code} ${producer.failure.message}\n${world.describe()}`);
  }
  for (const consumer of consumers) {
    if (consumer.plan.pace && consumer.detachments > 0)
      throw new Violation(`${consumer.name} was detached, and may not be`);
    const allowed = allowedResults(scenario, consumer);
    if (allowed.has(consumer.result)) continue;
    throw new Violation(`${consumer.name} ended with ${consumer.result}, not ${[...allowed].join(' or ')}`);
  }
}
