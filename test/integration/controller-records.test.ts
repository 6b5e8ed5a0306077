// What the controller does with records that it cannot use, and what people do about them; and what a dismissal by
// force leaves.
import { describe, expect, it } from 'vitest';
import { UnderstudyError } from '../../src/base/mod.ts';
import type { Controller } from '../../src/controller/mod.ts';
import type { Store } from '../../src/store/mod.ts';
import { eachWithALife, life, plantIsWhole, start, untilDone, untilPhase } from '../rig/controller-life.ts';
import { eventually } from '../rig/wait.ts';
import { service } from '../sim/installation.ts';

eachWithALife();

const shop = { ...service('shop', 'web2', ['spare2', 'spare3']), mode: 'advise' as const };
const refused = { code: 'ENGAGEMENT_REFUSED' };

/** A record of an engagement, changed behind the back of a controller that has ended. */
async function change(name: string, edit: (value: Record<string, unknown>) => unknown): Promise<void> {
  const store: Store = life.memory.open();
  const record = await store.get<Record<string, unknown>>(`engagement/${name}`);
  await store.put(`engagement/${name}`, edit(record?.value ?? {}), record?.revision ?? 0);
}

async function engaged(controller: Controller, to = 'spare1'): Promise<string> {
  const { engagement } = await controller.clone({ lead: 'web1', to });
  await untilPhase(controller, engagement, 'serving');
  return engagement;
}

async function keptOut(controller: Controller, host: string): Promise<string | null | undefined> {
  return (await controller.status()).hosts.find(({ name }) => name === host)?.keptOut;
}

describe('records that cannot be used', () => {
  it('records - of an engagement: its host is left alone, counts, and goes the way down by force', async () => {
    const first = await start('automatic', 'one', [shop], { hostsMax: 2 });
    const engagement = await engaged(first);
    await first.stop();
    await change(engagement, (value) => ({ ...value, phase: 'rehearse' }));
    const controller = await start('automatic', 'one', [shop], { hostsMax: 2 });
    await eventually('it is told', () => life.log.some((text) => text.includes(`record/engagement/${engagement}`)));
    expect(await keptOut(controller, 'spare1')).toContain(engagement);
    expect(life.plant.isOn('spare1')).toBe(true);
    // It is one of two hosts of wiki, so there may be no other.
    life.load = 14;
    await eventually('a scale-out is refused', async () =>
      (await controller.explain('wiki', 10)).find(({ outcome }) => outcome === 'refused'),
    );
    await expect(controller.clone({ lead: 'web1', to: 'spare2' })).rejects.toMatchObject(refused);
    const { signal } = new AbortController();
    for (const state of ['on', 'off'] as const) {
      await expect(controller.power('spare1', state, signal)).rejects.toMatchObject(refused);
    }
    await expect(controller.dismiss({ host: 'spare1' })).rejects.toMatchObject({ code: 'RECORD_UNUSABLE' });
    expect(await controller.dismissal({ engagement })).toMatchObject({
      understudy: 'spare1',
      reason: expect.stringContaining('phase'),
    });
    life.load = 1;
    expect(await controller.dismiss({ host: 'spare1', force: true })).toEqual({ engagement });
    await untilDone(controller, engagement);
    expect([await keptOut(controller, 'spare1'), life.plant.isOn('spare1')]).toEqual([null, false]);
    expect(await controller.engagement(engagement)).toMatchObject({ state: 'failed', left: [] });
  });

  it('records - one that names a lead as its understudy does not switch that lead off', async () => {
    const first = await start('advise', 'one', [shop]);
    const engagement = await engaged(first);
    await first.stop();
    await change(engagement, (value) => ({
      ...value,
      name: 'wiki-7',
      understudy: 'web2',
      phase: 'fence',
      admittedAt: null,
    }));
    const store = life.memory.open();
    const record = await store.get(`engagement/${engagement}`);
    await store.put('engagement/wiki-7', record?.value, 0);
    const controller = await start('advise', 'one', [shop]);
    await eventually('both are found', async () => (await controller.status()).unusableRecordsTotal === 2);
    expect(life.plant.isOn('web2')).toBe(true);
    await controller.dismiss({ engagement: 'wiki-7', force: true });
    await controller.dismiss({ engagement, force: true });
    await untilDone(controller, engagement);
    expect((await controller.status()).unusableRecordsTotal).toBe(0);
  });

  it('records - of a later version, or of a service that is gone, are good again when they can be used', async () => {
    const first = await start('advise', 'one', [shop]);
    const engagement = await engaged(first);
    await first.stop();
    await change(engagement, (value) => ({ ...value, service: 'blog' }));
    const second = await start('advise', 'one', [shop]);
    await eventually('it is found', async () => (await second.status()).unusableRecordsTotal === 1);
    await second.stop();
    await change(engagement, (value) => ({ ...value, service: 'wiki' }));
    const third = await start('advise', 'one', [shop]);
    await untilPhase(third, engagement, 'serving');
    await third.dismiss({ engagement });
    await untilDone(third, engagement);
  });

  it('records - an engagement whose host one of them may own is refused before it touches it', async () => {
    const first = await start('advise', 'one', [shop]);
    await first.stop();
    const store = life.memory.open();
    await store.put('engagement/wiki-9', { understudy: 'spare2' }, 0);
    const controller = await start('advise', 'one', [shop]);
    await expect(controller.clone({ lead: 'web2', to: 'spare2' })).rejects.toMatchObject(refused);
    const { engagement } = await controller.clone({ lead: 'web1', to: 'spare1' });
    await untilPhase(controller, engagement, 'serving');
    await controller.dismiss({ engagement });
    await untilDone(controller, engagement);
    await controller.dismiss({ engagement: 'wiki-9', force: true });
    expect(await keptOut(controller, 'spare2')).toBe(null);
  });

  it('records - one that comes while an engagement fences its host turns it round before anything is written', async () => {
    const controller = await start('advise', 'one', [shop]);
    const { off } = life.plant.power;
    let begun = false;
    Object.assign(life.plant.power, {
      off: async () => {
        begun = true;
        const store = life.memory.open();
        if ((await store.get('engagement/wiki-9')) === null) {
          await store.put('engagement/wiki-9', { understudy: 'spare1' }, 0);
        }
      },
    });
    const { engagement } = await controller.clone({ lead: 'web1', to: 'spare1' });
    await eventually('it is fenced', () => begun);
    await eventually('it is over', async () => (await controller.engagement(engagement)).state === 'failed');
    const error = { ...refused, phase: 'preserve' };
    expect(await controller.engagement(engagement)).toMatchObject({ error });
    expect(life.plant.disks.backupsOf('spare1')).toBe(0);
    Object.assign(life.plant.power, { off });
  });

  it('records - an epoch that no controller had stops what it is about, and neither the controller nor the rest', async () => {
    const controller = await start('advise', 'one', [shop]);
    const store = life.memory.open();
    await store.put('epoch/power/spare1', 1_000_000, 0);
    const { engagement } = await controller.clone({ lead: 'web1', to: 'spare1' });
    const other = (await controller.clone({ lead: 'web2', to: 'spare2' })).engagement;
    await untilPhase(controller, other, 'serving');
    expect(await controller.engagement(engagement)).toMatchObject({ phase: 'choose' });
    const [record] = await controller.records();
    expect(record).toMatchObject({ key: 'epoch/power/spare1', reason: expect.stringContaining('1000000') });
    await controller.removeRecord({ key: 'epoch/power/spare1', revision: record?.revision ?? 0 });
    await untilPhase(controller, engagement, 'serving');
    for (const name of [engagement, other]) await controller.dismiss({ engagement: name });
    await untilDone(controller, engagement);
    await untilDone(controller, other);
  });

  it('records - only what cannot be used is removed, and an engagement in good order or by force', async () => {
    const controller = await start('advise');
    await engaged(controller);
    const store = life.memory.open();
    const revision = (await store.get('engagement/wiki-1'))?.revision ?? 0;
    await expect(controller.removeRecord({ key: 'engagement/wiki-1', revision })).rejects.toMatchObject(refused);
    await store.put('engagement/wiki-9', 'nonsense', 0);
    await expect(controller.removeRecord({ key: 'engagement/wiki-9', revision: 1 })).rejects.toMatchObject(refused);
    await controller.dismiss({ engagement: 'wiki-9', force: true });
    await controller.dismiss({ engagement: 'wiki-1' });
    await untilDone(controller, 'wiki-1');
  });
});

describe('a look that ended the controller again and again', () => {
  it('records - it is left alone for a while, which is told, and all others are looked at', async () => {
    await life.memory.open().put('try/hosts', { step: 'look', begun: 5, lost: 5, open: false, atMs: 1 }, 0);
    const controller = await start('advise');
    const told = /^hosts: the controller ended 5 times while it looked at it; it looks again in /;
    await eventually('it is told', () => life.log.some((line) => told.test(line)));
    await eventually('others are looked at', async () => (await controller.explain('wiki', 10)).length > 0);
    expect((await controller.status()).hosts.map(({ power }) => power)).not.toContain('on');
  });
});

describe('names that nothing can have', () => {
  it.each(['Wiki-1', 'wiki 1', '..', 'wiki-1/', '', 'x'.repeat(200), 'wiki-1\n'])(
    'records - %j is no engagement: that is what the caller hears, not what the store says of it',
    async (name) => {
      const controller = await start('advise');
      const unknown = { code: 'ENGAGEMENT_UNKNOWN' };
      await expect(controller.engagement(name)).rejects.toMatchObject(unknown);
      await expect(controller.dismissal({ engagement: name })).rejects.toMatchObject(unknown);
      await expect(controller.dismiss({ engagement: name })).rejects.toMatchObject(unknown);
      await expect(controller.dismiss({ engagement: name, force: true })).rejects.toMatchObject(unknown);
      await expect(controller.removeRecord({ key: `plan/${name}`, revision: 1 })).rejects.toMatchObject(refused);
    },
  );
});

describe('a dismissal by force', () => {
  it('force - of a record that cannot be used: nothing is done while it is not known whose it is, or two could be', async () => {
    const controller = await start('advise');
    const store = life.memory.open();
    await store.put('engagement/wiki-9', 'nonsense', 0);
    const { status } = life.plant.storage;
    const force = () => controller.dismiss({ engagement: 'wiki-9', force: true });
    Object.assign(life.plant.storage, { status: () => Promise.reject(new UnderstudyError('STORAGE_FAILED', 'away')) });
    await expect(force()).rejects.toMatchObject({ code: 'STORAGE_FAILED' });
    const marked = async () => {
      const seen = await status();
      const volumes = seen.volumes.map((volume) => {
        const content = { kind: 'unfinished', engagement: 'wiki-9' };
        return volume.name.startsWith('spare') ? { ...volume, content } : volume;
      });
      return { ...seen, volumes };
    };
    Object.assign(life.plant.storage, { status: marked });
    await expect(force()).rejects.toMatchObject(refused);
    expect(await store.get('engagement/wiki-9')).not.toBe(null);
    Object.assign(life.plant.storage, { status });
    await force();
    expect(await store.get('engagement/wiki-9')).toBe(null);
  });

  it('force - a host that cannot be switched off keeps its replica, is in no pool and counts, and is dismissed later', async () => {
    const controller = await start('advise', 'one', [shop], { hostsMax: 2 });
    const engagement = await engaged(controller);
    life.plant.silent.add('spare1');
    const { restore } = life.plant.storage;
    let restored = 0;
    Object.assign(life.plant.storage, {
      restore: (...args: Parameters<typeof restore>) => {
        restored += 1;
        return restore(...args);
      },
    });
    const view = await controller.dismissal({ engagement });
    expect(view.does.map((line) => line.split(':')[0])).toEqual(['drain', 'off', 'restore', 'release']);
    await controller.dismiss({ engagement, force: true });
    await eventually('it is over', async () => (await controller.engagement(engagement)).left.length > 0);
    expect(await controller.engagement(engagement)).toMatchObject({
      state: 'failed',
      left: ['off', 'restore', 'release'],
    });
    expect(restored).toBe(0);
    expect(life.plant.disks.bytesOf('spare1').data).toBe('web1');
    expect(life.plant.disks.backupsOf('spare1')).toBe(1);
    expect(await keptOut(controller, 'spare1')).toContain('dismissed by force');
    // It may still run: there is no room for another one.
    await expect(controller.clone({ lead: 'web1', to: 'spare2' })).rejects.toMatchObject(refused);
    const { signal } = new AbortController();
    await expect(controller.power('spare1', 'on', signal)).rejects.toMatchObject(refused);
    life.plant.silent.delete('spare1');
    expect(await controller.power('spare1', 'off', signal)).toEqual({ power: 'off' });
    const next = await engaged(controller, 'spare2');
    await controller.dismiss({ host: 'spare1' });
    await eventually('its own data is back', () => life.plant.disks.bytesOf('spare1').data === 'spare1');
    await eventually('it is free', async () => (await keptOut(controller, 'spare1')) === null);
    await controller.dismiss({ engagement: next });
    await untilDone(controller, next);
    expect(await plantIsWhole()).toBe(true);
  });

  it('force - what can be done is done: a director that fails does not keep the disk from its owner', async () => {
    const controller = await start('advise');
    const engagement = await engaged(controller);
    const { drain } = life.plant.director;
    Object.assign(life.plant.director, {
      drain: () => {
        throw new TypeError('poison');
      },
    });
    await controller.dismiss({ engagement });
    await eventually('it is held up', async () => (await controller.engagement(engagement)).error?.phase === 'drain');
    await controller.dismiss({ engagement, force: true });
    await untilDone(controller, engagement);
    expect(await controller.engagement(engagement)).toMatchObject({ left: ['drain'] });
    expect(await keptOut(controller, 'spare1')).toBe(null);
    Object.assign(life.plant.director, { drain });
  });

  it('force - stops a step that never ends', async () => {
    const controller = await start('advise');
    const engagement = await engaged(controller);
    const { restore } = life.plant.storage;
    let begun = 0;
    Object.assign(life.plant.storage, {
      restore: () => {
        begun += 1;
        return begun === 1 ? new Promise(() => undefined) : Promise.reject(new Error('poison'));
      },
    });
    await controller.dismiss({ engagement });
    await eventually('it hangs', () => begun === 1);
    await controller.dismiss({ engagement, force: true });
    await eventually('it is over', async () => (await controller.engagement(engagement)).left.length > 0);
    expect((await controller.engagement(engagement)).left).toEqual(['restore', 'release']);
    Object.assign(life.plant.storage, { restore });
    await controller.dismiss({ engagement });
    await eventually('all is as it was', plantIsWhole);
  });
});
