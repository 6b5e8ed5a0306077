// The rules of engagements that hold whatever their steps do: who may write a record, which hosts may be taken, how
// often something is tried, and what is told of it.
import { describe, expect, it } from 'vitest';
import { reconcileHosts, switchHost } from '../../src/controller/hosts.ts';
import { Journal } from '../../src/controller/journal.ts';
import { look } from '../../src/controller/look.ts';
import type { EventView } from '../../src/controller/mod.ts';
import { type Engagement, keys } from '../../src/controller/record.ts';
import { Suspects } from '../../src/controller/suspects.ts';
import { Tries } from '../../src/controller/tries.ts';
import { engagementView } from '../../src/controller/view.ts';
import { StepBench } from '../rig/step-bench.ts';

const NAME = 'wiki-5';

/** An engagement that is looked at as the controller does. */
async function rules(edit: Partial<Engagement> = {}) {
  const bench = await StepBench.make();
  const { store, context, world } = bench;
  const journal = new Journal(context.parts);
  const parts = { world, journal, tries: new Tries(store, context.parts.wall), suspects: new Suspects() };
  bench.engagement = { ...bench.engagement, ...edit };
  await store.put(keys.engagement(NAME), bench.engagement, 0);
  const record = async (): Promise<Engagement> => {
    const found = await store.get<Engagement>(keys.engagement(NAME));
    if (found === null) throw new Error('the record is gone');
    return found.value;
  };
  const lookOnce = () => look(context, parts, keys.engagement(NAME));
  return {
    ...{ bench, record, look: lookOnce },
    view: async () => engagementView(await record(), world),
    /** Looks until it is in the phase. */
    async until(phase: Engagement['phase'], each: () => void = () => undefined): Promise<void> {
      for (let round = 0; round < 200; round += 1) {
        if ((await record()).phase === phase) return;
        each();
        const again = await lookOnce();
        bench.plant.nowMs += again?.inMs ?? 0;
      }
      throw new Error(`it never comes to ${phase}`);
    },
    async events(): Promise<readonly EventView[]> {
      const stop = new AbortController();
      const found: EventView[] = [];
      const last = await store.put('probe', {}, (await store.get('probe'))?.revision ?? 0);
      setTimeout(() => stop.abort(), 50);
      for await (const event of journal.events(0, stop.signal)) {
        if (event.revision > last) break;
        found.push(event);
      }
      return found;
    },
  };
}

describe('a record of an engagement', () => {
  it('rules - a controller that was replaced moves nothing, whoever took over', async () => {
    const { look: lookOnce, record } = await rules({ epoch: 3 });
    await expect(lookOnce()).rejects.toMatchObject({ code: 'EPOCH_STALE' });
    expect(await record()).toMatchObject({ phase: 'choose', epoch: 3 });
  });

  it('rules - one that has moved on meanwhile is not moved back', async () => {
    const { bench, look: lookOnce, record } = await rules();
    const { status } = bench.plant.storage;
    Object.assign(bench.plant.storage, {
      status: async () => {
        Object.assign(bench.plant.storage, { status });
        const found = await bench.store.get<Engagement>(keys.engagement(NAME));
        await bench.store.put(
          keys.engagement(NAME),
          { ...bench.engagement, phase: 'drain', goal: 'release' },
          found?.revision ?? 0,
        );
        return status();
      },
    });
    await expect(lookOnce()).rejects.toMatchObject({ code: 'STORE_CONFLICT' });
    expect((await record()).phase).toBe('drain');
  });

  it.each(['fence', 'preserve', 'replicate'] as const)(
    'rules - %s does not take a host that is kept out',
    async (phase) => {
      const { bench, look: lookOnce, record } = await rules({ phase });
      await bench.plant.storage.attach('spare1', 'spare1', { epoch: 2, signal: bench.context.signal });
      bench.plant.switchOn('spare1');
      await bench.others({ name: 'wiki-2', sequence: 2, ended: true, left: ['restore', 'release'] });
      await lookOnce();
      expect(await record()).toMatchObject({
        ...{ phase: 'drain', goal: 'release', failed: true },
        failure: { code: 'ENGAGEMENT_REFUSED', phase },
      });
      expect([bench.plant.isOn('spare1'), bench.plant.disks.backupsOf('spare1')]).toEqual([true, 0]);
    },
  );

  it('rules - what is asked to be released turns round, whatever its phase', async () => {
    const { look: lookOnce, record } = await rules({ phase: 'boot', goal: 'release' });
    await lookOnce();
    expect((await record()).phase).toBe('drain');
  });
});

describe('what an engagement waits for', () => {
  it('rules - is in its view while it waits, and an event each time it is something else', async () => {
    const { bench, until, view, events } = await rules();
    const seen = new Set<string | null>();
    const { check } = bench.plant.network;
    Object.assign(bench.plant.network, {
      check: async (...args: Parameters<typeof check>) => {
        seen.add((await view()).waitsFor);
        return check(...args);
      },
    });
    await until('serving');
    expect(seen).toContain('a good answer from 10.0.0.21, port 80 (no route to the host)');
    expect((await view()).waitsFor).toBeNull();
    const open = bench.plant.director.request('wiki', 'read');
    const other = bench.plant.director.request('wiki', 'read');
    const record = await bench.store.get<Engagement>(keys.engagement(NAME));
    await bench.store.put(keys.engagement(NAME), { ...record?.value, goal: 'release' }, record?.revision ?? 0);
    let waited: string | null = null;
    await until('off', () => {
      void view().then(({ waitsFor }) => {
        waited ??= waitsFor;
      });
    });
    expect(waited).toBe('the end of 1 open connection');
    for (const request of [open, other]) request?.end();
    const told = (await events()).map(({ text }) => text).filter((text) => text.includes('waits for'));
    expect(told.filter((text) => text.includes('prove waits for a good answer'))).toHaveLength(1);
    expect(told.filter((text) => text.includes('drain waits for the end of 1 open connection'))).toHaveLength(1);
  });
});

describe('an understudy that goes off', () => {
  it('rules - is started again three times, and then given up', async () => {
    const { bench, until, record } = await rules();
    const on: boolean[] = [];
    await until('drain', () => {
      on.push(bench.plant.isOn('spare1'));
      bench.plant.switchOff('spare1');
    });
    expect(on.filter(Boolean)).toHaveLength(4);
    expect((await record()).failure).toMatchObject({
      code: 'PROVE_FAILED',
      message: 'spare1 went off while it was coming up, for the 4th time',
    });
  });
});

describe('hosts that no engagement has', () => {
  it('rules - are off when that was read twice, for the status and for what counts', async () => {
    const { bench } = await rules();
    const { context, world, plant } = bench;
    const journal = new Journal(context.parts);
    const power = (name: string) => world.power.get(name)?.state;
    plant.relays.fault('web1', { kind: 'lie', state: 'off', times: 1 });
    plant.silent.add('spare2');
    await reconcileHosts(context, world, journal);
    expect(['web1', 'spare1', 'spare2'].map(power)).toEqual(['on', 'off', 'unknown']);
    plant.relays.fault('web1', { kind: 'lie', state: 'off' });
    await reconcileHosts(context, world, journal);
    expect(power('web1')).toBe('off');
  });

  it('rules - are switched as somebody asks, and read back', async () => {
    const { bench } = await rules();
    const { context, plant } = bench;
    const spare = plant.host('spare2');
    expect(await switchHost(context, spare, 'on')).toBe('on');
    expect(plant.isOn('spare2')).toBe(true);
    plant.relays.fault('spare2', { kind: 'early', times: 1 });
    expect(await switchHost(context, spare, 'off')).toBe('off');
    expect(plant.isOn('spare2')).toBe(false);
    plant.relays.fault('spare2', { kind: 'ignore' });
    await expect(switchHost(context, spare, 'on')).rejects.toMatchObject({ code: 'POWER_TIMEOUT' });
    plant.relays.fault('spare2', { kind: 'lie', state: 'unknown' });
    await expect(switchHost(context, spare, 'off')).rejects.toMatchObject({ code: 'POWER_UNKNOWN' });
  });
});
