// One step of an engagement at a time, over the simulated plant: the step is called as the reconciler calls it, and the
// world is as a test has made it.
import { setImmediate } from 'node:timers/promises';
import type { Configuration, HostConfig, ServiceConfig } from '../../src/config/mod.ts';
import type { Context } from '../../src/controller/parts.ts';
import { type Engagement, isUp, keys } from '../../src/controller/record.ts';
import type { Step, StepInput, StepOutcome } from '../../src/controller/step.ts';
import { World } from '../../src/controller/world.ts';
import { FakeMetrics } from '../../src/metrics/mod.ts';
import { memoryStore, type Store, storeEpochGate } from '../../src/store/mod.ts';
import { config } from '../sim/installation.ts';
import { Plant } from '../sim/plant.ts';

export interface BenchPlan {
  readonly service?: Partial<ServiceConfig>;
  readonly understudy?: Partial<HostConfig>;
}

/** The lead web1 and the spare spare1 of the service wiki, and the engagement wiki-5. */
export class StepBench {
  readonly store: Store;
  readonly plant: Plant;
  readonly world = new World();
  readonly context: Context;
  /** What the steps waited for, in order: `what`. */
  readonly waits: string[] = [];
  /** Called at each wait of a step, before time goes on. */
  onPause: (ms: number) => void = () => undefined;
  engagement: Engagement;
  readonly #stop = new AbortController();

  private constructor(store: Store, plant: Plant) {
    this.store = store;
    this.plant = plant;
    this.engagement = engagementOf({ createdAt: plant.nowMs });
    this.context = {
      epoch: 2,
      signal: this.#stop.signal,
      parts: {
        ...{ config: plant.config, store, storage: plant.storage, network: plant.network, metrics: new FakeMetrics() },
        power: new Map([['sim', plant.power]]),
        directors: new Map([['sim', plant.director]]),
        agentSecret: async () => null,
        wall: () => plant.nowMs,
        pause: async (ms) => {
          this.onPause(ms);
          plant.nowMs += ms;
          await setImmediate();
        },
        log: () => undefined,
        holder: 'bench',
      },
    };
  }

  static async make({ service = {}, understudy = {} }: BenchPlan = {}): Promise<StepBench> {
    const store = memoryStore();
    const plant = await Plant.make(edited(service, understudy), storeEpochGate(store));
    return new StepBench(store, plant);
  }

  /** Ends the step that is under way, as the controller does. */
  interrupt(): void {
    this.#stop.abort();
  }

  input(): StepInput {
    const { config: installation } = this.context.parts;
    const { lead, understudy, service } = this.engagement;
    const wiki = installation.services.get(service);
    if (wiki === undefined) throw new Error(`no service ${service}`);
    return {
      ...{ context: this.context, world: this.world, engagement: this.engagement, service: wiki },
      lead: this.plant.host(lead),
      understudy: this.plant.host(understudy),
      tell: async (what) => void this.waits.push(what),
    };
  }

  /** Does a step; what it gives to the record is in the engagement afterwards. */
  async do(step: Step): Promise<StepOutcome> {
    const outcome = await step(this.input());
    if (outcome.kind === 'done') this.engagement = { ...this.engagement, ...outcome.patch };
    if (this.plant.broken !== null) throw this.plant.broken;
    return outcome;
  }

  /** As if it had entered this phase just now. */
  enter(phase: Engagement['phase']): void {
    const stages = [...this.engagement.stages, { phase, startedAt: this.plant.nowMs, endedAt: null }];
    this.engagement = { ...this.engagement, phase, stages };
  }

  /** Another engagement is in the store. */
  async others(...edits: readonly Partial<Engagement>[]): Promise<void> {
    for (const edit of edits) {
      const other = engagementOf(edit);
      await this.store.put(keys.engagement(other.name), other, 0);
    }
  }
}

function edited(service: Partial<ServiceConfig>, understudy: Partial<HostConfig>): Configuration {
  const wiki = config.services.get('wiki');
  const spare = config.hosts.get('spare1');
  if (wiki === undefined || spare === undefined) throw new Error('the installation has wiki and spare1');
  return {
    ...config,
    hosts: new Map([...config.hosts, ['spare1', { ...spare, ...understudy }]]),
    services: new Map([...config.services, ['wiki', { ...wiki, ...service }]]),
  };
}

/** A record as a controller writes it; what follows from its phase is so unless it is given. */
export function engagementOf({ ended = false, ...edit }: Partial<Engagement>): Engagement {
  const now = edit.createdAt ?? 1_000_000_000_000;
  const wanted = edit.phase ?? 'choose';
  const phase = ended && isUp(wanted) ? 'release' : wanted;
  return {
    ...{ name: 'wiki-5', sequence: 5, epoch: 2, service: 'wiki', lead: 'web1', understudy: 'spare1' },
    ...{ origin: 'manual', goal: isUp(phase) ? 'serve' : 'release', reason: 'asked for by hand' },
    createdAt: now,
    stages: [{ phase, startedAt: now, endedAt: null }],
    ...{ reboots: 0, failure: null, hold: null, failed: false, takenAt: null, proof: null },
    admittedAt: phase === 'serving' ? now : null,
    breach: null,
    ...edit,
    ...{ phase, ended },
  };
}
