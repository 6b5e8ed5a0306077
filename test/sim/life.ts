// A controller's life in the simulation: the real reconcilers and the real operations over the plant, step by step,
// with deaths at every driver call, and calls of the dead that arrive late.
import { setImmediate } from 'node:timers/promises';
import { codeOf, type Random, UnderstudyError } from '../../src/base/mod.ts';
import { Journal } from '../../src/controller/journal.ts';
import { look } from '../../src/controller/look.ts';
import { Operations } from '../../src/controller/operations.ts';
import type { Context, ControllerParts } from '../../src/controller/parts.ts';
import { type Engagement, keys } from '../../src/controller/record.ts';
import { Suspects } from '../../src/controller/suspects.ts';
import { Tries } from '../../src/controller/tries.ts';
import { World } from '../../src/controller/world.ts';
import { FakeMetrics } from '../../src/metrics/mod.ts';
import type { Store } from '../../src/store/mod.ts';
import type { Plant } from './plant.ts';

/** The process has died; thrown out of a driver call, and never seen by the controller's own error handling. */
export class Died extends Error {}

/** A defect of a driver. */
class Poisoned extends TypeError {}

function isAbout(args: readonly unknown[], name: string): boolean {
  return args.some((argument) => JSON.stringify(argument ?? null)?.includes(JSON.stringify(name)));
}

/** How the world treats the controller: shares of its driver calls, 0 to 1. */
export interface Weather {
  readonly death: number;
  readonly failure: number;
}

/** A call of one driver about one name that goes wrong each time, whoever makes it. */
export interface Poison {
  /** Of the driver: "off", "restore". */
  readonly call: string;
  /** Among its arguments: a host, a volume, a service. */
  readonly about: string;
  /** 'throws': a defect. 'kills': the process dies of it. */
  readonly does: 'throws' | 'kills';
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
  readonly poison: readonly Poison[];
  /** A controller that does not count its tries. @default false */
  readonly forgetful?: boolean;
}

const CHANGES = new Set(['on', 'off', 'attach', 'detach', 'backup', 'replicate', 'personalise', 'restore', 'discard']);
for (const name of ['admit', 'drain', 'remove']) CHANGES.add(name);

export class Life {
  readonly operations: Operations;
  readonly world = new World();
  /** It died of a poison. */
  killed = false;
  readonly #input: LifeInput;
  readonly #context: Context;
  readonly #journal: Journal;
  readonly #due = new Map<string, number>();
  readonly #tries: Tries;
  readonly #suspects = new Suspects();
  #dead = false;

  constructor(input: LifeInput) {
    this.#input = input;
    const { plant, epoch } = input;
    const store = this.#mortal(input.store);
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
      // What is under way at the same time gets its turn meanwhile.
      pause: async (ms) => {
        plant.nowMs += ms;
        await setImmediate();
      },
      log: () => undefined,
      holder: 'sim',
    };
    this.#tries = new Tries(store, parts.wall);
    this.#context = { parts, epoch, signal: new AbortController().signal };
    this.#journal = new Journal(parts);
    this.operations = new Operations({
      context: this.#context,
      world: this.world,
      journal: this.#journal,
      tries: this.#tries,
      name: 'sim',
      sinceMs: plant.nowMs,
      wake: (key) => this.#due.set(key, 0),
      interrupt: () => undefined,
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
      if (codeOf(error) === null && !(error instanceof Poisoned)) throw error;
      this.#due.set(key, plant.nowMs + 1000);
    }
    if (plant.broken !== null) throw plant.broken;
    return !this.#dead;
  }

  async #keys(): Promise<string[]> {
    const engagements = await this.#input.store.list<Engagement>(keys.engagements);
    const services = [...this.#input.plant.config.services.keys()].map((name) => `service/${name}`);
    return ['records', 'hosts', ...services, ...engagements.filter(({ value }) => !value.ended).map(({ key }) => key)];
  }

  #reconcile(key: string): ReturnType<typeof look> {
    const parts = { world: this.world, journal: this.#journal, tries: this.#tries, suspects: this.#suspects };
    return look(this.#context, parts, key);
  }

  /** The dead write nothing. */
  #mortal(store: Store): Store {
    return new Proxy(store, {
      get: (target, property) => {
        const value = Reflect.get(target, property, target) as unknown;
        if (typeof value !== 'function') return value;
        return (...args: unknown[]) => {
          if (this.#dead) throw new Died();
          if (this.#input.forgetful && property === 'put' && String(args[0]).startsWith('try/')) return 1;
          return Reflect.apply(value, target, args) as unknown;
        };
      },
    });
  }

  /** The driver as this life sees it. */
  #exposed<T extends object>(driver: T): T {
    return new Proxy(driver, {
      get: (target, property) => {
        const value = Reflect.get(target, property, target) as unknown;
        if (typeof value !== 'function') return value;
        const work = (...args: unknown[]): Promise<unknown> => Reflect.apply(value, target, args) as Promise<unknown>;
        return (...args: unknown[]) => this.#call(String(property), args, () => work(...args));
      },
    });
  }

  async #call(name: string, args: readonly unknown[], work: LateCall): Promise<unknown> {
    const { random, weather, late, poison } = this.#input;
    if (this.#dead) throw new Died();
    const found = poison.find(({ call, about }) => call === name && isAbout(args, about));
    if (found?.does === 'kills') {
      this.killed = true;
      this.#dead = true;
      throw new Died();
    }
    if (found !== undefined) throw new Poisoned(`${name} of ${found.about}`);
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
