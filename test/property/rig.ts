// One simulated run from its scenario to its end.
import type { Device } from '../../src/replication/device/contract.ts';
import { type Breakage, ConsumerActor } from './consumer-actor.ts';
import { ProducerActor } from './producer-actor.ts';
import type { Scenario } from './scenario.ts';
import { honestRing, type RingMaker, World } from './world.ts';

/** What a deliberately broken variant replaces, to show that the properties find it. */
export interface Broken {
  readonly producerRing?: RingMaker;
  readonly consumerRing?: RingMaker;
  readonly targetDevice?: (device: Device) => Device;
}

export interface Outcome {
  readonly world: World;
  readonly producer: ProducerActor;
  readonly consumers: readonly ConsumerActor[];
}

/**
 * Runs until every consumer has ended.
 * @throws Violation when a property of the protocol does not hold, and when no end is reached in bounded time
 */
export function simulate(scenario: Scenario, broken: Broken = {}): Outcome {
  const world = new World(scenario);
  const breakage: Breakage = {
    ring: broken.consumerRing ?? honestRing,
    device: broken.targetDevice ?? ((device) => device),
  };
  const consumers = scenario.consumers.map((plan, index) => new ConsumerActor(world, index, plan, breakage));
  const producer = new ProducerActor(world, consumers, broken.producerRing ?? honestRing);
  world.actors.push(...consumers, producer);
  // Those of the first invocation register before the producer reads (the quorum of the engine).
  producer.readyAtMs = Number.POSITIVE_INFINITY;
  let started = false;
  const isOver = (): boolean => consumers.every((consumer) => consumer.ended);
  const nudge = (): boolean => {
    const together = consumers.filter((consumer) => consumer.plan.joinAtRead === 0);
    if (!started && together.every((consumer) => consumer.phase !== 'away')) {
      started = true;
      producer.readyAtMs = world.clock.nowMs();
      return true;
    }
    const present = consumers.filter((consumer) => !consumer.ended && !consumer.isToCome);
    const away = consumers.find((consumer) => consumer.isToCome);
    // The producer will not read for those who are not there yet, nor further than those who stand still let it.
    if (away !== undefined && present.every((consumer) => consumer.stopped)) {
      away.comeNow();
      return true;
    }
    const stopped = present.filter((consumer) => consumer.stopped);
    if (away === undefined && stopped.length > 0 && stopped.length === present.length) {
      for (const consumer of stopped) consumer.resume();
      return true;
    }
    return false;
  };
  world.run(isOver, nudge);
  return { world, producer, consumers };
}
