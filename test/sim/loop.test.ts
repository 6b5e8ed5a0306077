// The whole loop in simulated time: random load, random orders of operators, relays that fall silent, hosts that never
// answer, failures and deaths of the controller at random calls, and calls of dead controllers that arrive late. Every change of
// the plant is checked against the invariants; at the end everything has to be as it was.
import { describe, expect, it } from 'vitest';
import { codeOf, type EpochGate, type Random, seededRandom } from '../../src/base/mod.ts';
import { type Engagement, keys } from '../../src/controller/record.ts';
import { memoryStore, type Store, storeEpochGate } from '../../src/store/mod.ts';
import { patience } from '../rig/patience.ts';
import { config } from './installation.ts';
import { arrive, type LateCall, Life, type Weather } from './life.ts';
import { InvariantBroken, Plant } from './plant.ts';

const SEED = Number(process.env.UNDERSTUDY_SIM_SEED ?? Math.floor(Math.random() * 1e9));
const ROUNDS = Number(process.env.UNDERSTUDY_SIM_ROUNDS ?? 60);
const STEPS = 400;
/** Requests a second that one host carries. */
const CAPACITY = 10;

class Run {
  readonly store: Store;
  readonly plant: Plant;
  readonly late: LateCall[] = [];
  readonly #random: Random;
  readonly #weather: Weather;
  readonly #load = new Map([...config.services.keys()].map((name) => [name, 2]));
  #life: Life;
  #epoch = 1;
  #sequence = 0;
  #loadAtMs = 0;
  served = 0;
  deaths = 0;

  private constructor(seed: number, weather: Weather, store: Store, plant: Plant) {
    this.store = store;
    this.plant = plant;
    this.#random = seededRandom(seed);
    this.#weather = weather;
    this.#life = this.#born(weather);
  }

  static async make(seed: number, weather: Weather, gate: EpochGate | null): Promise<Run> {
    const store = memoryStore();
    return new Run(seed, weather, store, await Plant.make(config, gate ?? storeEpochGate(store)));
  }

  #born(weather: Weather): Life {
    const { plant, store, late } = this;
    return new Life({ plant, store, epoch: this.#epoch, random: this.#random, weather, late });
  }

  async step(weather = this.#weather): Promise<void> {
    await this.#traffic();
    if (await this.#life.step()) return;
    this.deaths += 1;
    this.#epoch += 1;
    this.#life = this.#born(weather);
  }

  /** Users and agents: requests since the last look, and a report of every host that answers. */
  async #traffic(): Promise<void> {
    const { plant } = this;
    if (plant.nowMs - this.#loadAtMs < 2000) return;
    const seconds = Math.min(10, (plant.nowMs - this.#loadAtMs) / 1000);
    this.#loadAtMs = plant.nowMs;
    for (const [name, load] of this.#load) {
      for (let request = 0; request < load * seconds; request += 1) plant.director.request(name, 'read')?.end();
      await this.#report(name, load);
    }
  }

  async #report(name: string, load: number): Promise<void> {
    const { servers } = await this.plant.director.observe(name, { epoch: 1, signal: new AbortController().signal });
    const ready = servers.filter(({ state }) => state === 'ready');
    const verdict = load > CAPACITY * ready.length ? 'degraded' : 'healthy';
    for (const server of ready) {
      const seen = this.#life.world.agents.get(server.name);
      const sinceMs = seen?.verdict === verdict ? seen.sinceMs : this.plant.nowMs;
      const ageMs = this.plant.nowMs - sinceMs;
      await this.#life.operations.report(server.name, {
        boot: '0'.repeat(32),
        sequence: ++this.#sequence,
        sentAt: '',
        host: server.name,
        verdict,
        since: '',
        ageMs,
        evidence: [],
        score: verdict === 'degraded' ? 1 : 0,
        lacksCapacity: verdict === 'degraded',
        outside: null,
        signals: {},
        changes: [],
        dropped: 0,
      });
    }
  }

  /** Something happens in the world. */
  async event(): Promise<void> {
    const random = this.#random;
    const spares = ['spare1', 'spare2', 'spare3'] as const;
    const spare = spares[random.below(3)] ?? 'spare1';
    const [name = 'wiki'] = [['wiki', 'shop'][random.below(2)]];
    switch (random.below(8)) {
      case 0:
        return void this.#load.set(name, random.below(32));
      case 1:
        return this.#order(() => this.#life.operations.clone({ lead: name === 'wiki' ? 'web1' : 'web2', to: spare }));
      case 2:
        return this.#order(() => this.#life.operations.dismiss({ host: spare }));
      case 3:
        return this.plant.silent.has(spare) ? void this.plant.silent.delete(spare) : void this.plant.silent.add(spare);
      case 4:
        return this.plant.mute.has(spare) ? void this.plant.mute.delete(spare) : void this.plant.mute.add(spare);
      case 5:
        return this.plant.switchOff(spare);
      case 6:
        return this.plant.director.restart();
      default: {
        const call = this.late.splice(random.below(this.late.length + 1), 1)[0];
        if (call !== undefined) await arrive(call, this.plant);
      }
    }
  }

  /** What is refused is an answer. */
  async #order(order: () => Promise<unknown>): Promise<void> {
    try {
      await order();
    } catch (error) {
      if (codeOf(error) === null) throw error;
    }
  }

  /** Good weather, no load, everybody answers: everything has to come to rest. */
  async calm(): Promise<void> {
    this.plant.silent.clear();
    this.plant.mute.clear();
    for (const name of this.#load.keys()) this.#load.set(name, 0);
    this.#life = this.#born({ death: 0, failure: 0 });
    this.#epoch += 1;
    this.#life = this.#born({ death: 0, failure: 0 });
    for (const call of this.late.splice(0)) await arrive(call, this.plant);
    for (let round = 0; round < 8000; round += 1) {
      await this.step({ death: 0, failure: 0 });
      const active = await this.active();
      for (const one of active.filter(({ origin, goal }) => origin === 'manual' && goal === 'serve')) {
        await this.#life.operations.dismiss({ engagement: one.name });
      }
      if (active.length === 0 && round > 50) return;
    }
  }

  async active(): Promise<Engagement[]> {
    const records = await this.store.list<Engagement>(keys.engagements);
    this.served = Math.max(this.served, records.filter(({ value }) => value.admittedAt !== null).length);
    return records.map(({ value }) => value).filter(({ ended }) => !ended);
  }
}

async function play(seed: number, weather: Weather, gate: EpochGate | null = null): Promise<Run> {
  const run = await Run.make(seed, weather, gate);
  const random = seededRandom(seed ^ 0x5eed);
  for (let step = 0; step < STEPS; step += 1) {
    if (random.below(12) === 0) await run.event();
    await run.step();
  }
  await run.calm();
  return run;
}

describe('the loop in simulation', () => {
  it('sim - whatever happens, no invariant is broken, and in the end every spare has its own data back', async () => {
    let [served, deaths] = [0, 0];
    for (let round = 0; round < ROUNDS; round += 1) {
      const seed = SEED + round;
      const run = await play(seed, { death: 0.03, failure: 0.03 }).catch((error: unknown) => {
        throw new Error(`seed ${seed}: UNDERSTUDY_SIM_SEED=${seed} UNDERSTUDY_SIM_ROUNDS=1`, { cause: error });
      });
      const left = (await run.active()).map(
        ({ name, phase, failure }) => `${name} in ${phase}: ${failure?.message ?? ''}`,
      );
      expect({ seed, left }).toEqual({ seed, left: [] });
      const { disks, storage } = run.plant;
      for (const { name, content, backups } of (await storage.status()).volumes) {
        const files = disks.backupsOf(name);
        const seen = { seed, name, ...disks.bytesOf(name), kind: content.kind, backups: backups.length, files };
        const owner = disks.ownerOf(name);
        expect(seen).toEqual({ seed, name, data: owner, identity: owner, kind: 'own', backups: 0, files: 0 });
      }
      served += run.served;
      deaths += run.deaths;
    }
    // A simulation in which nothing happens would find nothing.
    expect(served).toBeGreaterThan(ROUNDS / 4);
    expect(deaths).toBeGreaterThan(ROUNDS / 4);
  }, 3_600_000);

  it(
    'sim - drivers that do not refuse calls of the dead are found out',
    async () => {
      const careless: EpochGate = { admit: async () => undefined };
      const broken: unknown[] = [];
      for (let seed = 1; seed <= 300 && broken.length === 0; seed += 1) {
        await play(seed, { death: 0.06, failure: 0 }, careless).catch((error: unknown) => broken.push(error));
      }
      expect(broken[0]).toBeInstanceOf(InvariantBroken);
    },
    patience(120_000),
  );
});
