// A controller's life in the simulation: the real reconcilers and the real operations over the plant, step by step, with
// deaths at every driver call, and calls of the dead that arrive late.
import { codeOf, type Random } from '../../src/base/mod.ts';
import { reconcileEngagement } from '../../src/controller/engagement.ts';
import { reconcileHosts } from '../../src/controller/hosts.ts';
import { Journal } from '../../src/controller/journal.ts';
import { Operations } from '../../src/controller/operations.ts';
import type { Context, ControllerParts } from '../../src/controller/parts.ts';
import { type Engagement, keys } from '../../src/controller/record.ts';
import { reconcileService } from '../../src/controller/service.ts';
import { World } from '../../src/controller/world.ts';
import { FakeMetrics } from '../../src/metrics/mod.ts';
import type { Store } from '../../src/store/mod.ts';
import type { Plant } from './plant.ts';

/** The process has died; thrown out of a driver call, and never seen by the controller's own error handling. */
class Died extends Error {}

/** How the world treats the controller: shares of its driver calls, 0 to 1. */
export interface Weather {
  readonly death: number;
  readonly failure: number;
}

/** What a dead controller had asked for and what has not happened yet. */
export type LateCall = () => Promise<unknown>;

export interface LifeInput {
  readonly plant: Plant;
  readonly store: Store;
  readonly epoch: number;
  readonly random: Random;
  readonly weather: Weather;
  readonly late: LateCall[];
}

const CHANGES = new Set(['on', 'off', 'attach', 'detach', 'backup', 'replicate', 'personalise', 'restore', 'discard']);
for (const name of ['admit', 'drain', 'remove']) CHANGES.add(name);

export class Life {
  readonly operations: Operations;
  readonly world = new World();
  readonly #input: LifeInput;
  readonly #context: Context;
  readonly #journal: Journal;
  readonly #due = new Map<string, number>();
  #dead = false;

  constructor(input: LifeInput) {
    this.#input = input;
    const { plant, store, epoch } = input;
    const parts: ControllerParts = {
      config: plant.config,
      store,
      storage: this.#exposed(plant.storage),
      power: new Map([['sim', this.#exposed(plant.power)]]),
      directors: new Map([['sim', this.#exposed(plant.director)]]),
      network: plant.network,
      metrics: new FakeMetrics(),
      agentSecret: async () => null,
      wall: () => plant.nowMs,
      pause: async (ms) => {
        plant.nowMs += ms;
      },
      holder: 'sim',
    };
    this.#context = { parts, epoch, signal: new AbortController().signal };
    this.#journal = new Journal(parts);
    this.operations = new Operations({
      context: this.#context,
      world: this.world,
      journal: this.#journal,
      name: 'sim',
      sinceMs: plant.nowMs,
      wake: (key) => this.#due.set(key, 0),
    });
  }

  /** Does one thing that is due. @returns false when it died of it */
  async step(): Promise<boolean> {
    const { plant, random } = this.#input;
    const due = (await this.#keys()).filter((key) => (this.#due.get(key) ?? 0) <= plant.nowMs);
    const key = due[random.below(due.length)];
    if (key === undefined) {
      plant.nowMs += 500;
      return true;
    }
    try {
      const again = await this.#reconcile(key);
      this.#due.set(key, again === null ? Number.POSITIVE_INFINITY : plant.nowMs + again.inMs);
      if (again === null) this.#due.delete(key);
    } catch (error) {
      if (plant.broken !== null) throw plant.broken;
      if (this.#dead) return false;
      if (codeOf(error) === null) throw error;
      this.#due.set(key, plant.nowMs + 1000);
    }
    if (plant.broken !== null) throw plant.broken;
    return !this.#dead;
  }

  async #keys(): Promise<string[]> {
    const engagements = await this.#input.store.list<Engagement>(keys.engagements);
    const services = [...this.#input.plant.config.services.keys()].map((name) => `service/${name}`);
    return ['hosts', ...services, ...engagements.filter(({ value }) => !value.ended).map(({ key }) => key)];
  }

  #reconcile(key: string): Promise<{ readonly inMs: number } | null> {
    if (key === 'hosts') return reconcileHosts(this.#context, this.world, this.#journal);
    const name = key.slice(key.indexOf('/') + 1);
    const service = this.#input.plant.config.services.get(name);
    if (key.startsWith('service/') && service !== undefined) {
      return reconcileService(this.#context, this.world, this.#journal, service);
    }
    return reconcileEngagement(this.#context, this.world, this.#journal, name);
  }

  /** The driver as this life sees it. */
  #exposed<T extends object>(driver: T): T {
    return new Proxy(driver, {
      get: (target, property) => {
        const value = Reflect.get(target, property, target) as unknown;
        if (typeof value !== 'function') return value;
        const work = (...args: unknown[]): Promise<unknown> => Reflect.apply(value, target, args) as Promise<unknown>;
        return (...args: unknown[]) => this.#call(String(property), () => work(...args));
      },
    });
  }

  async #call(name: string, work: LateCall): Promise<unknown> {
    const { random, weather, late } = this.#input;
    if (this.#dead) throw new Died();
    const roll = random.next();
    if (roll < weather.death) {
      this.#dead = true;
      // It dies before the call, after it, or with the call on its way: then it arrives whenever it pleases.
      const fate = random.below(3);
      if (fate === 1) await work();
      if (fate === 2 && CHANGES.has(name)) late.push(work);
      throw new Died();
    }
    if (roll < weather.death + weather.failure) {
      const { UnderstudyError } = await import('../../src/base/mod.ts');
      if (random.below(2) === 0) await work();
      throw new UnderstudyError('STORAGE_FAILED', `${name} failed in the simulation`);
    }
    return work();
  }
}

/** What was on its way arrives. That it is refused is fine; that it breaks an invariant is not. */
export async function arrive(call: LateCall, plant: Plant): Promise<void> {
  try {
    await call();
  } catch (error) {
    if (plant.broken === null && codeOf(error) === null) throw error;
  }
  if (plant.broken !== null) throw plant.broken;
}
