// A controller over a simulated plant whose time flies, for tests of the controller as a whole.
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, expect } from 'vitest';
import type { Configuration, Mode, ServiceConfig } from '../../src/config/mod.ts';
import { type Controller, startController } from '../../src/controller/mod.ts';
import type { Director } from '../../src/director/mod.ts';
import { FakeMetrics } from '../../src/metrics/mod.ts';
import { type LeaseClock, StoreMemory, storeEpochGate } from '../../src/store/mod.ts';
import { config, service } from '../sim/installation.ts';
import { Plant } from '../sim/plant.ts';
import { eventually } from './wait.ts';

/** Simulated milliseconds that pass in each real tick. */
const TICK_MS = 10;
const FLIES_MS = 500;

/** What the tests of a file share; each begins it anew. */
export interface Life {
  memory: StoreMemory;
  metrics: FakeMetrics;
  /** What the controllers wrote to their log. */
  log: string[];
  plant: Plant;
  /** In place of the simulated one; null: that one. */
  director: Director | null;
  ticker: NodeJS.Timeout | null;
  running: Controller[];
  sequence: number;
  /** Requests a second that users make, and what agents say goes by it. */
  load: number;
  /** So far the clock of leases is ahead of this machine's, milliseconds. */
  aheadMs: number;
}

export const life = {} as Life;

export const leaseClock: LeaseClock = { nowMs: () => performance.now() + life.aheadMs, era: 'test' };

/** To be called at the top of a file of tests. */
export function eachWithALife(): void {
  beforeEach(() => {
    const fresh = { memory: new StoreMemory(), metrics: new FakeMetrics(), log: [] };
    Object.assign(life, { ...fresh, director: null, ticker: null, running: [], sequence: 0, load: 1, aheadMs: 0 });
  });
  afterEach(async () => {
    if (life.ticker !== null) clearInterval(life.ticker);
    for (const controller of life.running) await controller.stop();
    expect(life.plant.broken).toBe(null);
  });
}

function installation(mode: Mode, others: readonly ServiceConfig[], edit: Partial<ServiceConfig>): Configuration {
  const wiki = { ...service('wiki', 'web1', ['spare1', 'spare2']), ...edit, mode };
  return { ...config, services: new Map([wiki, ...others].map((one) => [one.name, one])) };
}

export async function start(
  mode: Mode,
  holder = 'one',
  others: readonly ServiceConfig[] = [],
  edit: Partial<ServiceConfig> = {},
): Promise<Controller> {
  const store = life.memory.open({ clock: leaseClock });
  if (life.plant === undefined || life.running.length === 0) {
    life.plant = await Plant.make(installation(mode, others, edit), storeEpochGate(store));
    life.ticker = setInterval(() => tick(), TICK_MS);
  }
  const controller = await startController({
    config: life.plant.config,
    store,
    storage: life.plant.storage,
    power: new Map([['sim', life.plant.power]]),
    directors: new Map([['sim', life.director ?? life.plant.director]]),
    network: life.plant.network,
    metrics: life.metrics,
    agentSecret: async () => null,
    wall: () => life.plant.nowMs,
    pause: async (ms, signal) => {
      await delay(Math.max(1, (ms * TICK_MS) / FLIES_MS), undefined, { signal }).catch(() => undefined);
    },
    log: ({ message, stack }) => {
      life.log.push(stack === undefined ? message : `${message}\n${stack.replaceAll(/^/gm, '    ')}`);
    },
    holder,
  });
  life.running.push(controller);
  return controller;
}

/** Users ask and agents report, as the load is. */
function tick(): void {
  life.plant.nowMs += FLIES_MS;
  for (let request = 0; request < life.load / 2; request += 1) life.plant.director.request('wiki', 'read')?.end();
  if (life.plant.nowMs % (FLIES_MS * 4) !== 0) return;
  for (const name of ['web1', 'spare1', 'spare2'].filter((host) => life.plant.answers(host))) {
    void life.running.at(-1)?.report(name, reportOf(name));
  }
}

export function reportOf(host: string): Parameters<Controller['report']>[1] {
  const verdict = life.load > 10 ? 'degraded' : 'healthy';
  const evidence = [{ text: `probe.milliseconds is ${verdict}`, values: {} }];
  const times = { sentAt: '2026-01-01T00:00:00Z', since: '2026-01-01T00:00:00Z', ageMs: 100_000 };
  return {
    boot: '0'.repeat(32),
    sequence: ++life.sequence,
    host,
    verdict,
    ...times,
    evidence,
    score: verdict === 'degraded' ? 1 : 0,
    lacksCapacity: verdict === 'degraded',
    outside: null,
    signals: {},
    changes: [],
    dropped: 0,
  };
}

export async function untilPhase(controller: Controller, name: string, phase: string): Promise<void> {
  await eventually(`${name} in ${phase}`, async () => {
    const { engagements } = await controller.status();
    return engagements.find((engagement) => engagement.name === name)?.phase === phase;
  });
}

export async function untilDone(controller: Controller, name: string): Promise<void> {
  await eventually(`${name} done`, async () => {
    // A failed one is so from the moment when it turns round: it is over when its service no longer has it.
    const { services } = await controller.status();
    return services.every(({ engagements }) => !engagements.includes(name)) && (await plantIsWhole());
  });
}

export async function plantIsWhole(): Promise<boolean> {
  const { disks } = life.plant;
  return disks.volumes.every((one) => disks.bytesOf(one).data === disks.ownerOf(one) && disks.backupsOf(one) === 0);
}
