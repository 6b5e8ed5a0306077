// A store full of records that no controller would write. Whatever they are, a start comes up, names each, touches
// nothing that one of them may own, goes on with the rest, and in the end all can be got rid of and everything is as it
// was. UNDERSTUDY_RECORDS_SEED=seed UNDERSTUDY_RECORDS_ROUNDS=n npx vitest run test/fuzz/records.test.ts
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { type Random, seededRandom, shown } from '../../src/base/mod.ts';
import type { Configuration } from '../../src/config/mod.ts';
import { type Controller, startController } from '../../src/controller/mod.ts';
import { FakeMetrics } from '../../src/metrics/mod.ts';
import { openSqliteStore, type Store, storeEpochGate } from '../../src/store/mod.ts';
import { patience } from '../rig/patience.ts';
import { eventually } from '../rig/wait.ts';
import { config as whole } from '../sim/installation.ts';
import { Plant } from '../sim/plant.ts';
import { type Poisoned, PoisonedFile } from '../support/poison.ts';

const SEED = Number(process.env.UNDERSTUDY_RECORDS_SEED ?? Math.floor(Math.random() * 1e9));
const ROUNDS = Number(process.env.UNDERSTUDY_RECORDS_ROUNDS ?? 15);
const TICK_MS = 5;
const FLIES_MS = 500;

const services = [...whole.services].map(([name, one]) => [name, { ...one, mode: 'advise' as const }] as const);
const config: Configuration = { ...whole, services: new Map(services) };
/** Of the engagement that is poisoned, and of the one that is not. */
const [POISONED, INTACT] = ['wiki-1', 'shop-2'];

class Room {
  readonly #folder = mkdtempSync(join(tmpdir(), 'ustu-records-'));
  readonly log: string[] = [];
  #store: Store | null = null;
  #plant: Plant | null = null;
  #ticker: NodeJS.Timeout | null = null;
  #controller: Controller | null = null;
  #lives = 0;

  get plant(): Plant {
    if (this.#plant === null) throw new Error('no plant');
    return this.#plant;
  }

  get store(): Store {
    if (this.#store === null) throw new Error('no store');
    return this.#store;
  }

  async live(): Promise<Controller> {
    this.#store = await openSqliteStore(this.#path(this.#lives));
    if (this.#plant === null) {
      const gate = { admit: (thing: string, epoch: number) => storeEpochGate(this.store).admit(thing, epoch) };
      this.#plant = await Plant.make(config, gate, this.store);
      this.#ticker = setInterval(() => this.#tick(), TICK_MS);
    } else {
      await this.#plant.disks.restart(this.store);
    }
    const { plant } = this;
    this.#controller = await startController({
      config,
      store: this.store,
      storage: plant.storage,
      power: new Map([['sim', plant.power]]),
      directors: new Map([['sim', plant.director]]),
      network: plant.network,
      metrics: new FakeMetrics(),
      agentSecret: async () => null,
      wall: () => plant.nowMs,
      pause: async (ms, signal) => {
        await delay(Math.max(1, (ms * TICK_MS) / FLIES_MS), undefined, { signal }).catch(() => undefined);
      },
      log: ({ message }) => void this.log.push(message),
      holder: 'room',
    });
    return this.#controller;
  }

  #tick(): void {
    this.plant.nowMs += FLIES_MS;
  }

  #path(life: number): string {
    return join(this.#folder, `store-${life}.db`);
  }

  /** Ends the controller, and has its store changed by somebody else. */
  async die(change: (file: PoisonedFile) => readonly Poisoned[]): Promise<readonly Poisoned[]> {
    await this.#controller?.stop();
    await this.store.close();
    const before = this.#path(this.#lives);
    this.#lives += 1;
    // A copy: this process may still have locks on the file itself.
    for (const suffix of ['', '-wal']) cpSync(`${before}${suffix}`, `${this.#path(this.#lives)}${suffix}`);
    const file = new PoisonedFile(this.#path(this.#lives));
    try {
      return change(file);
    } finally {
      file.close();
    }
  }

  async close(): Promise<void> {
    if (this.#ticker !== null) clearInterval(this.#ticker);
    await this.#controller?.stop();
    await this.#store?.close();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

let room: Room;

afterEach(async () => {
  await room?.close();
});

async function serving(controller: Controller, lead: string, to: string): Promise<void> {
  const { engagement } = await controller.clone({ lead, to });
  await eventually(`${engagement} serves`, async () => {
    const { state, error } = await controller.engagement(engagement);
    if (state === 'failed') throw new Error(`${engagement}: ${error?.message}`);
    return state === 'waiting';
  });
}

/** Two engagements, and a record of each kind. */
async function play(): Promise<Room> {
  room = new Room();
  const controller = await room.live();
  await serving(controller, 'web1', 'spare1');
  await serving(controller, 'web2', 'spare3');
  const plan = { id: 'wiki-x', service: 'wiki', action: 'scale-out', subject: 'spare2', reason: 'a reason', at: 1 };
  await room.store.put('plan/wiki', plan, 0);
  await room.store.put('learned/wiki/web1', {}, 0);
  await room.store.put('try/metrics/wiki', { step: 'look', begun: 1, lost: 0, open: false, atMs: 1 }, 0);
  return room;
}

/** One record of each of several kinds; always that of the engagement. */
function choose(file: PoisonedFile, random: Random): readonly string[] {
  const keys = file.keys();
  const only = (prefix: string): readonly string[] => keys.filter((key) => key.startsWith(prefix));
  const pick = (from: readonly string[]): readonly string[] => from.slice(0).splice(random.below(from.length), 1);
  const may = ['plan/', 'event/', 'decision/', 'counter/', 'learned/', 'try/metrics', 'epoch/volume/spare2'];
  const others = [...may, 'storage/volume/spare2'].filter(() => random.below(2) === 0);
  return [`engagement/${POISONED}`, ...others.flatMap((prefix) => pick(only(prefix)))];
}

/** What the poisoned engagement may own, and what the intact one has. */
function stateOf({ plant }: Room, host: string): object {
  return { host, on: plant.isOn(host), ...plant.disks.bytesOf(host), backups: plant.disks.backupsOf(host) };
}

async function clean(controller: Controller): Promise<void> {
  for (const { key, revision } of await controller.records()) {
    if (key.startsWith('engagement/')) await controller.dismiss({ engagement: key.slice(11), force: true });
    else await controller.removeRecord({ key, revision });
  }
}

describe('a store with records that cannot be used', () => {
  it(
    'records - a start comes up, names each, touches nothing of theirs, serves the rest, and is rid of them by force',
    async () => {
      for (let round = 0; round < ROUNDS; round += 1) {
        const seed = SEED + round;
        try {
          await oneRound(seededRandom(seed));
        } catch (cause) {
          throw new Error(`UNDERSTUDY_RECORDS_SEED=${seed} UNDERSTUDY_RECORDS_ROUNDS=1`, { cause });
        } finally {
          await room.close();
        }
      }
    },
    patience(600_000),
  );
});

async function oneRound(random: Random): Promise<void> {
  const before = await play();
  const own = stateOf(before, 'spare1');
  const poisoned = await before.die((file) => choose(file, random).map((key) => file.poison(key, random)));
  const told = JSON.stringify(poisoned);
  const controller = await room.live();
  const unusable = await eventually(`all are found: ${told}`, async () => {
    const { unusableRecords } = await controller.status();
    return unusableRecords.length >= poisoned.length && unusableRecords;
  });
  expect(unusable.map(({ key }) => key).toSorted(), told).toEqual(poisoned.map(({ key }) => shown(key)).toSorted());
  // The status has all of them first; each is told of after that.
  for (const { key } of poisoned) {
    await eventually(`${shown(key)} is told of: ${told}`, () => room.log.join('\n').includes(shown(key)));
  }
  // Nobody gets what may be owned, nobody powers it, nothing is written to it.
  await expect(controller.clone({ lead: 'web1', to: 'spare1' }), told).rejects.toMatchObject({
    code: 'ENGAGEMENT_REFUSED',
  });
  await expect(controller.power('spare1', 'off', new AbortController().signal), told).rejects.toMatchObject({
    code: 'ENGAGEMENT_REFUSED',
  });
  // The rest goes on.
  expect(await controller.engagement(INTACT), told).toMatchObject({ state: 'waiting' });
  const free = !poisoned.some(({ key }) => /spare2|counter/.test(key));
  if (free) await serving(controller, 'web2', 'spare2');
  await controller.dismiss({ engagement: INTACT });
  await eventually(`${INTACT} is over: ${told}`, async () => (await controller.engagement(INTACT)).state === 'done');
  expect(stateOf(room, 'spare1'), told).toEqual(own);
  if (free) await controller.dismiss({ host: 'spare2' });
  // By force, and a start after it, as the explanation says.
  await eventually(`they are gone: ${told}`, async () => {
    await clean(controller);
    return (await controller.records()).length === 0;
  });
  await room.die(() => []);
  const after = await room.live();
  await eventually(`all is as it was: ${told}`, async () => {
    const { disks } = room.plant;
    const whole = disks.volumes.every((one) => disks.bytesOf(one).data === disks.ownerOf(one));
    const { services, unusableRecordsTotal } = await after.status();
    return whole && unusableRecordsTotal === 0 && services.every(({ engagements }) => engagements.length === 0);
  });
  await serving(after, 'web1', 'spare1');
  expect(room.plant.broken).toBe(null);
}
