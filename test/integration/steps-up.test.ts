// The steps of the way up, one at a time, each with the world as it must not be: every rule that keeps a host, its data
// or its users from harm is tried alone.
import { describe, expect, it } from 'vitest';
import type { Call } from '../../src/base/mod.ts';
import type { Engagement } from '../../src/controller/record.ts';
import {
  admit,
  boot,
  choose,
  fence,
  personalise,
  preserve,
  replicate,
  serving,
} from '../../src/controller/steps-up.ts';
import type { VolumeStatus } from '../../src/storage/mod.ts';
import { type BenchPlan, StepBench } from '../rig/step-bench.ts';
import { strangerAt } from '../sim/plant.ts';

const call: Call = { epoch: 2, signal: new AbortController().signal };
const DONE = { kind: 'done' };

/** spare1 is on with its own data, as its own host. */
async function withSpareOn(plan: BenchPlan = {}): Promise<StepBench> {
  const bench = await StepBench.make(plan);
  await bench.plant.storage.attach('spare1', 'spare1', call);
  bench.plant.switchOn('spare1');
  return bench;
}

/** spare1 has a replica with an identity of its own, and was not started. */
async function withReplica(plan: BenchPlan = {}): Promise<StepBench> {
  const bench = await StepBench.make(plan);
  for (const step of [fence, preserve, replicate, personalise]) await bench.do(step);
  return bench;
}

async function volume({ plant }: StepBench, name = 'spare1'): Promise<VolumeStatus> {
  const found = (await plant.storage.status()).volumes.find((one) => one.name === name);
  if (found === undefined) throw new Error(`no volume ${name}`);
  return found;
}

/** Answers of the storage node about one volume are others. */
function pretend({ plant }: StepBench, name: string, edit: Partial<VolumeStatus>): void {
  const { status } = plant.storage;
  Object.assign(plant.storage, {
    status: async () => {
      const seen = await status();
      return { ...seen, volumes: seen.volumes.map((one) => (one.name === name ? { ...one, ...edit } : one)) };
    },
  });
}

describe('choose', () => {
  const earlier: Partial<Engagement> = { name: 'wiki-4', sequence: 4, understudy: 'spare2', phase: 'serving' };
  const left: Partial<Engagement> = { ...earlier, name: 'wiki-3', sequence: 3, ended: true, left: ['off', 'restore'] };

  it.each<[string, readonly Partial<Engagement>[]]>([
    ['nobody else', []],
    [
      'one that came later and wants the same spare',
      [{ ...earlier, name: 'wiki-6', sequence: 6, understudy: 'spare1' }],
    ],
    ['one that had the spare and is over', [{ ...earlier, understudy: 'spare1', ended: true }]],
    ['as many hosts as there may be, with this one', [earlier]],
    [
      'engagements of another service',
      [{ ...earlier, name: 'shop-3', sequence: 3, service: 'shop', lead: 'web2' }, earlier],
    ],
  ])('steps - a spare may be used beside %s, and nothing is touched', async (_, others) => {
    const bench = await withSpareOn();
    await bench.others(...others);
    expect(await bench.do(choose)).toEqual(DONE);
    expect([bench.plant.isOn('spare1'), (await volume(bench)).attachment?.host]).toEqual([true, 'spare1']);
  });

  it.each<[string, readonly Partial<Engagement>[], RegExp]>([
    ['an earlier one has the spare', [{ ...earlier, understudy: 'spare1' }], /wiki-4 has it/],
    [
      'one of the same number and an earlier name has it',
      [{ ...earlier, sequence: 5, understudy: 'spare1' }],
      /wiki-4/,
    ],
    [
      'the service has its maximum',
      [earlier, { ...earlier, name: 'wiki-3', understudy: 'spare3' }],
      /4 hosts, .* most 3/,
    ],
    [
      'a failed one counts as well',
      [earlier, { ...earlier, name: 'wiki-3', failed: true, phase: 'restore' }],
      /most 3/,
    ],
    ['it was left as it is by force', [{ ...left, understudy: 'spare1' }], /dismissed by force without off, restore/],
    ['one that was left by force may be on', [earlier, { ...left, understudy: 'spare3' }], /4 hosts/],
  ])('steps - a spare is refused when %s', async (_, others, why) => {
    const bench = await StepBench.make();
    await bench.others(...others);
    await expect(bench.do(choose)).rejects.toMatchObject({
      code: 'ENGAGEMENT_REFUSED',
      message: expect.stringMatching(why),
    });
  });

  it('steps - one that was left by force does not count when it is seen to be off', async () => {
    const bench = await StepBench.make();
    await bench.others(earlier, { ...left, understudy: 'spare3' });
    const seen = (state: 'on' | 'off' | 'unknown', agoMs: number) =>
      bench.world.power.set('spare3', { state, atMs: bench.plant.nowMs - agoMs });
    for (const [state, agoMs] of [
      ['on', 0],
      ['unknown', 0],
      ['off', 61_000],
    ] as const) {
      seen(state, agoMs);
      await expect(bench.do(choose)).rejects.toMatchObject({ code: 'ENGAGEMENT_REFUSED' });
    }
    seen('off', 1000);
    expect(await bench.do(choose)).toEqual(DONE);
  });

  it('steps - a record that cannot be used and may own the spare keeps it from being used', async () => {
    const bench = await StepBench.make();
    await bench.store.put('engagement/wiki-2', { understudy: 'spare1' }, 0);
    await expect(bench.do(choose)).rejects.toMatchObject({ code: 'ENGAGEMENT_REFUSED' });
  });

  it('steps - the lead of another service is no spare', async () => {
    const bench = await StepBench.make();
    bench.engagement = { ...bench.engagement, understudy: 'web2' };
    await expect(bench.do(choose)).rejects.toMatchObject({ message: expect.stringContaining('leads shop') });
  });

  it('steps - a disk that is smaller than that of the lead is refused, one of the same size is not', async () => {
    const bench = await StepBench.make();
    const { sizeBytes } = await volume(bench, 'web1');
    pretend(bench, 'spare1', { sizeBytes: sizeBytes - 1 });
    await expect(bench.do(choose)).rejects.toMatchObject({
      message: expect.stringContaining('bytes, and that of web1'),
    });
    pretend(bench, 'spare1', { sizeBytes });
    expect(await bench.do(choose)).toEqual(DONE);
  });

  it.each([false, true])('steps - a disk without its own data is refused; it is expendable: %s', async (expendable) => {
    const bench = await StepBench.make({ understudy: { expendable } });
    pretend(bench, 'spare1', { content: { kind: 'unfinished', engagement: 'wiki-1', step: 'restore' } });
    if (expendable) expect(await bench.do(choose)).toEqual(DONE);
    else await expect(bench.do(choose)).rejects.toMatchObject({ message: expect.stringContaining('its own data') });
  });

  it('steps - power that nobody can tell stops the plan', async () => {
    const bench = await StepBench.make();
    bench.plant.silent.add('spare1');
    await expect(bench.do(choose)).rejects.toMatchObject({ code: 'POWER_UNKNOWN' });
  });
});

describe('fence', () => {
  it('steps - a spare that is on is off, and without its volume', async () => {
    const bench = await withSpareOn();
    expect(await bench.do(fence)).toEqual(DONE);
    expect([bench.plant.isOn('spare1'), (await volume(bench)).attachment]).toEqual([false, null]);
  });

  it('steps - a relay that says "off" before it is so, or once by mistake, is not believed', async () => {
    const early = await withSpareOn();
    early.plant.relays.fault('spare1', { kind: 'early', times: 1 });
    await early.do(fence);
    expect(early.plant.isOn('spare1')).toBe(false);
    const stuck = await withSpareOn();
    stuck.plant.relays.fault('spare1', { kind: 'ignore' });
    stuck.onPause = (ms) => {
      // Right after the first of two readings it says what is so.
      stuck.plant.relays.fault('spare1', ms === 1000 ? { kind: 'ignore' } : { kind: 'lie', state: 'off', times: 1 });
    };
    await expect(stuck.do(fence)).rejects.toMatchObject({ code: 'POWER_TIMEOUT' });
    expect((await volume(stuck)).attachment?.host).toBe('spare1');
  });

  it.each([
    [{ kind: 'ignore' }, 'POWER_TIMEOUT'],
    [{ kind: 'fail', reason: 'no such outlet' }, 'POWER_FAILED'],
    [{ kind: 'lie', state: 'unknown' }, 'POWER_UNKNOWN'],
  ] as const)('steps - a spare that is not seen to be off keeps its volume: %j', async (fault, code) => {
    const bench = await withSpareOn();
    bench.plant.relays.fault('spare1', fault);
    await expect(bench.do(fence)).rejects.toMatchObject({ code });
    expect((await volume(bench)).attachment?.host).toBe('spare1');
  });
});

describe('preserve, replicate and personalise', () => {
  it.each([false, true])(
    'steps - what a spare holds is kept before it is overwritten; expendable: %s',
    async (expendable) => {
      const bench = await withReplica({ understudy: { expendable } });
      expect(bench.plant.disks.backupsOf('spare1')).toBe(expendable ? 0 : 1);
      const { data, identity } = bench.plant.disks.bytesOf('spare1');
      expect([data, identity]).toEqual(['web1', 'spare1']);
      expect(await volume(bench)).toMatchObject({ content: { kind: 'replica', of: 'web1', identityOf: 'spare1' } });
    },
  );

  it('steps - what is to be copied and accepted goes to the storage node, and its moment and keys into the record', async () => {
    const bench = await StepBench.make({ service: { portion: ['/srv'], acceptUnknown: ['licence'] } });
    const asked: unknown[] = [];
    const { replicate: copy, personalise: give } = bench.plant.storage;
    Object.assign(bench.plant.storage, {
      replicate: (request: Parameters<typeof copy>[0], one: Call) => {
        asked.push(request.portion);
        return copy({ ...request, portion: null }, one);
      },
      personalise: (request: Parameters<typeof give>[0], one: Call) => {
        asked.push([request.host, request.lead.hostName, request.understudy.hostName, request.accept]);
        return give(request, one);
      },
    });
    for (const step of [fence, preserve, replicate, personalise]) await bench.do(step);
    expect(asked).toEqual([{ paths: ['/srv'], accept: ['licence'] }, ['spare1', 'web1', 'spare1', ['licence']]]);
    const { keys } = bench.plant.disks.bytesOf('spare1');
    expect([keys.length, bench.engagement.proof?.sshHostKeys]).toEqual([1, keys]);
    expect(Date.parse(bench.engagement.takenAt ?? '')).toBeGreaterThan(0);
  });

  it('steps - a replica that does not keep its identity is not verified, and cannot be started', async () => {
    const bench = await StepBench.make();
    for (const step of [fence, preserve, replicate]) await bench.do(step);
    bench.plant.disks.stubborn.add('spare1');
    await expect(bench.do(personalise)).rejects.toMatchObject({ code: 'IDENTITY_UNVERIFIED' });
    await expect(bench.do(boot)).rejects.toMatchObject({ code: 'VOLUME_STATE' });
    expect(bench.plant.isOn('spare1')).toBe(false);
    bench.plant.disks.stubborn.clear();
    await bench.do(personalise);
    expect(await bench.do(boot)).toEqual(DONE);
  });
});

describe('boot', () => {
  it('steps - the replica is attached, and its host on', async () => {
    const bench = await withReplica();
    expect(await bench.do(boot)).toEqual(DONE);
    expect([bench.plant.isOn('spare1'), (await volume(bench)).attachment?.host]).toEqual([true, 'spare1']);
    // Once more, as after a crash.
    bench.plant.nowMs += 60_000;
    expect(await bench.do(boot)).toEqual(DONE);
    bench.plant.relays.fault('spare1', { kind: 'lie', state: 'off', times: 1 });
    expect(await bench.do(boot)).toEqual(DONE);
  });

  it.each([
    ['a stranger holds the address', '52:54:00:ff:ff:ff'],
    ['the address is held from its own hardware address while it is off', '52:54:00:00:00:21'],
  ])('steps - nothing is started when %s', async (_, mac) => {
    const bench = await withReplica();
    bench.plant.strangers.push({ ...strangerAt('10.0.0.21'), mac });
    await expect(bench.do(boot)).rejects.toMatchObject({
      code: 'ADDRESS_IN_USE',
      message: expect.stringContaining(mac),
    });
    expect([bench.plant.isOn('spare1'), (await volume(bench)).attachment]).toEqual([false, null]);
  });

  it('steps - nor when nobody can tell whether it is on', async () => {
    const bench = await withReplica();
    bench.plant.silent.add('spare1');
    await expect(bench.do(boot)).rejects.toMatchObject({ code: 'POWER_UNKNOWN' });
    expect((await volume(bench)).attachment).toBeNull();
  });
});

describe('admit and serving', () => {
  /** spare1 is on stage. */
  async function onStage(): Promise<StepBench> {
    const bench = await withReplica();
    await bench.do(boot);
    bench.plant.nowMs += 60_000;
    await bench.do(admit);
    return bench;
  }
  const state = async ({ plant }: StepBench): Promise<string> => {
    const { servers } = await plant.director.observe('wiki', call);
    return servers.find(({ name }) => name === 'spare1')?.state ?? 'gone';
  };
  const admissions = ({ plant }: StepBench): { count: number } => {
    const counted = { count: 0 };
    const given = plant.director.admit.bind(plant.director);
    plant.director.admit = (...args) => {
      counted.count += 1;
      return given(...args);
    };
    return counted;
  };

  it('steps - it gets reads, no write, and the time is in the record', async () => {
    const bench = await onStage();
    const given = (kind: 'read' | 'write'): ReadonlySet<string | undefined> =>
      new Set(Array.from({ length: 20 }, () => bench.plant.director.request('wiki', kind)?.server));
    expect([given('read'), given('write')]).toEqual([new Set(['web1', 'spare1']), new Set(['web1'])]);
    expect(bench.engagement.admittedAt).toBe(bench.plant.nowMs);
  });

  it('steps - one that went off is taken out of the director, and started again', async () => {
    const bench = await onStage();
    bench.plant.switchOff('spare1');
    expect(await bench.do(serving)).toMatchObject({ kind: 'back', to: 'boot' });
    expect(await state(bench)).toBe('gone');
  });

  it.each(['off', 'unknown'] as const)(
    'steps - a relay that says "%s" once takes nobody off the stage',
    async (lie) => {
      const bench = await onStage();
      bench.plant.relays.fault('spare1', { kind: 'lie', state: lie, times: 1 });
      expect(await bench.do(serving)).toMatchObject({ kind: 'again' });
      expect(await state(bench)).toBe('ready');
    },
  );

  it('steps - what the director has forgotten, or was told to drain, is put back', async () => {
    const bench = await onStage();
    const counted = admissions(bench);
    await bench.do(serving);
    expect(counted.count).toBe(0);
    for (const disturb of [
      () => bench.plant.director.restart(),
      () => bench.plant.director.drain('wiki', 'spare1', call),
    ]) {
      await disturb();
      expect(await state(bench)).not.toBe('ready');
      await bench.do(serving);
      expect(await state(bench)).toBe('ready');
    }
    expect(counted.count).toBe(2);
  });

  it.each([{ address: '10.0.0.99' }, { port: 81 }, { traffic: 'all' as const }, { state: 'maint' as const }])(
    'steps - one that the director has otherwise is told again: %j',
    async (edit) => {
      const bench = await onStage();
      const counted = admissions(bench);
      const observe = bench.plant.director.observe.bind(bench.plant.director);
      bench.plant.director.observe = async (...args) => {
        const seen = await observe(...args);
        return { ...seen, servers: seen.servers.map((one) => (one.name === 'spare1' ? { ...one, ...edit } : one)) };
      };
      await bench.do(serving);
      expect(counted.count).toBe(1);
    },
  );

  it('steps - one that fails the check of the director is down there by right', async () => {
    const bench = await onStage();
    const counted = admissions(bench);
    bench.plant.mute.add('spare1');
    expect(await state(bench)).toBe('down');
    await bench.do(serving);
    expect(counted.count).toBe(0);
  });
});
