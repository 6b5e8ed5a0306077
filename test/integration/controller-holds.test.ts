// What people order to hold the controller back, over a simulated plant: pause, maintenance, dismissals that hold, and
// the acknowledgement of what failed.
import { describe, expect, it } from 'vitest';
import type { Controller } from '../../src/controller/mod.ts';
import { eachWithALife, life, start, untilDone, untilPhase } from '../rig/controller-life.ts';
import { eventually } from '../rig/wait.ts';
import { service } from '../sim/installation.ts';

eachWithALife();

const HOUR_MS = 3_600_000;

async function lastDecision(controller: Controller) {
  return (await controller.status()).services[0]?.lastDecision ?? null;
}

/** Until the policy wants something and is held back by it. */
function untilRefused(controller: Controller, reason: RegExp): Promise<unknown> {
  return eventually(`refused: ${reason}`, async () => {
    const last = await lastDecision(controller);
    return last?.outcome === 'refused' && reason.test(last.reason) && last;
  });
}

async function holdsOf(controller: Controller, host: string): Promise<readonly string[]> {
  const { hosts } = await controller.status();
  return hosts.find(({ name }) => name === host)?.holds.map(({ text }) => text) ?? [];
}

function maintenanceOf(controller: Controller, host: string): Promise<unknown> {
  return controller.maintenance({ host, state: 'on' });
}

describe('a pause', () => {
  it('holds - a paused service is left as it is until it is resumed, also by the next controller', async () => {
    const first = await start('automatic');
    expect((await first.pause({ service: 'wiki', forMs: null }, 'alice')).hold).toMatchObject({
      ...{ kind: 'pause', name: 'wiki', by: 'alice', until: null, text: 'wiki is paused by alice' },
    });
    life.load = 14;
    await untilRefused(first, /^wiki is paused by alice; else: the objective is broken/);
    const before = await lastDecision(first);
    await first.stop();
    const second = await start('automatic', 'two');
    // What the first one decided is kept: the second one has to see for itself.
    const wiki = await eventually('the second one sees it too', async () => {
      const [seen] = (await second.status()).services;
      return seen?.verdict === 'degraded' && seen.lastDecision?.lastAt !== before?.lastAt && seen;
    });
    await untilRefused(second, /^wiki is paused by alice/);
    expect(wiki).toMatchObject({ engagements: [], holds: [{ kind: 'pause', by: 'alice' }] });
    expect(await second.resume('wiki', 'bob')).toMatchObject({ lifted: [{ kind: 'pause', by: 'alice' }] });
    await untilPhase(second, 'wiki-1', 'serving');
    expect((await second.status()).services[0]?.holds).toEqual([]);
    expect(await second.resume('wiki', 'bob')).toEqual({ lifted: [] });
  });

  it('holds - with a time, a pause is over by itself, and is told when it begins and ends', async () => {
    const controller = await start('automatic');
    await controller.pause({ service: 'wiki', forMs: 120_000 }, 'alice');
    life.load = 14;
    await untilRefused(controller, /^wiki is paused by alice until \d{4}-/);
    await untilPhase(controller, 'wiki-1', 'serving');
    const stop = new AbortController();
    const told: string[] = [];
    for await (const { kind, text } of controller.events(0, stop.signal)) {
      if (kind === 'hold') told.push(text.replace(/\d{4}-\S+Z/, 'T'));
      if (told.length === 2) break;
    }
    expect(told).toEqual(['wiki is paused by alice until T', 'over: wiki is paused by alice until T']);
  });

  it('holds - a paused service keeps an understudy that is no longer needed, and people may end it', async () => {
    const controller = await start('automatic');
    life.load = 14;
    await untilPhase(controller, 'wiki-1', 'serving');
    await controller.pause({ service: 'wiki', forMs: null });
    life.load = 1;
    await untilRefused(controller, /^wiki is paused; else: for the whole window/);
    expect((await controller.status()).services[0]?.engagements).toEqual(['wiki-1']);
    await controller.dismiss({ host: 'spare1' });
    await untilDone(controller, 'wiki-1');
    const { engagement } = await controller.clone({ lead: 'web1', to: 'spare1' });
    await untilPhase(controller, engagement, 'serving');
  });

  it('holds - a plan that waits goes when its service is paused, and is not carried out', async () => {
    const controller = await start('approve');
    life.load = 14;
    const pending = async () => (await controller.status()).services[0]?.pendingPlan?.id;
    const plan = await eventually('a plan', pending);
    await controller.pause({ service: 'wiki', forMs: null });
    await expect(controller.approve(plan)).rejects.toMatchObject({ code: 'ENGAGEMENT_REFUSED' });
    await eventually('no plan', async () => (await pending()) === undefined);
    expect((await controller.status()).services[0]?.engagements).toEqual([]);
  });

  it('holds - a hold whose record cannot be used holds, and goes with its record', async () => {
    const store = life.memory.open();
    await store.put('hold/pause/wiki', { kind: 'pause', name: 'wiki', until: 'for ever' }, 0);
    const controller = await start('automatic');
    life.load = 14;
    await untilRefused(controller, /^wiki is paused \(its record cannot be used: /);
    await expect(controller.resume('wiki')).rejects.toMatchObject({ code: 'RECORD_UNUSABLE' });
    const [record] = await controller.records();
    expect(record?.key).toBe('hold/pause/wiki');
    await controller.removeRecord({ key: 'hold/pause/wiki', revision: record?.revision ?? 0 });
    await untilPhase(controller, 'wiki-1', 'serving');
  });

  it('holds - of a service or a host that is not there', async () => {
    const controller = await start('advise');
    const code = { code: 'SERVICE_UNKNOWN' };
    await expect(controller.pause({ service: 'shop', forMs: null })).rejects.toMatchObject(code);
    await expect(controller.resume('shop')).rejects.toMatchObject(code);
    const order = { host: 'web9', state: 'on' } as const;
    await expect(controller.maintenance(order)).rejects.toMatchObject({ code: 'HOST_UNKNOWN' });
    await expect(controller.acknowledge('wiki-9')).rejects.toMatchObject({ code: 'ENGAGEMENT_UNKNOWN' });
  });
});

describe('a dismissal by hand', () => {
  it('holds - nothing is engaged again for an hour while the objective is broken, then it is', async () => {
    const controller = await start('automatic');
    life.load = 14;
    await untilPhase(controller, 'wiki-1', 'serving');
    await controller.dismiss({ host: 'spare1' }, 'alice');
    const dismissedMs = life.plant.nowMs;
    await untilDone(controller, 'wiki-1');
    await untilRefused(controller, /^spare1 of wiki was dismissed by alice; held until /);
    const [hold] = (await controller.status()).services[0]?.holds ?? [];
    expect(hold).toMatchObject({ kind: 'dismissal', by: 'alice' });
    const until = Date.parse(hold?.until ?? '');
    expect(Math.abs(until - dismissedMs - HOUR_MS)).toBeLessThan(60_000);
    expect(await holdsOf(controller, 'spare1')).toEqual([hold?.text]);
    life.plant.nowMs = until - 20_000;
    await eventually('time has passed', () => life.plant.nowMs > until - 10_000);
    expect((await controller.status()).services[0]?.engagements).toEqual([]);
    await untilPhase(controller, 'wiki-2', 'serving');
    expect(life.plant.nowMs).toBeGreaterThan(until);
  });

  it('holds - for as long as it says, or not at all, and no shorter by another one', async () => {
    const controller = await start('automatic');
    life.load = 14;
    await untilPhase(controller, 'wiki-1', 'serving');
    await untilPhase(controller, 'wiki-2', 'serving');
    await controller.dismiss({ host: 'spare1', holdMs: 5 * HOUR_MS });
    const until = async () => (await controller.status()).services[0]?.holds[0]?.until;
    const first = await until();
    await controller.dismiss({ host: 'spare2', holdMs: 1000 });
    expect(await until()).toBe(first);
    expect((await controller.status()).services[0]?.holds[0]?.text).toMatch(
      /^spare1 and spare2 of wiki were dismissed/,
    );
    await untilDone(controller, 'wiki-1');
    await untilDone(controller, 'wiki-2');
    expect(await controller.resume('wiki')).toMatchObject({ lifted: [{ kind: 'dismissal' }] });
    await untilPhase(controller, 'wiki-3', 'serving');
    await controller.dismiss({ host: 'spare1', holdMs: 0 });
    await untilPhase(controller, 'wiki-4', 'serving');
  });

  it('holds - the spare is engaged for no other service by itself, and by hand at once', async () => {
    const controller = await start('automatic', 'one', [{ ...service('shop', 'web2', ['spare1']), mode: 'advise' }]);
    const { engagement } = await controller.clone({ lead: 'web2', to: 'spare1' });
    await untilPhase(controller, engagement, 'serving');
    await controller.dismiss({ host: 'spare1' });
    await untilDone(controller, engagement);
    life.load = 14;
    // First in the pool of wiki, and passed over.
    await eventually('another spare', async () => {
      const { services } = await controller.status();
      return services.find(({ name }) => name === 'wiki')?.hosts.includes('spare2');
    });
    const again = await controller.clone({ lead: 'web2', to: 'spare1' });
    await untilPhase(controller, again.engagement, 'serving');
  });
});

describe('maintenance', () => {
  it('holds - a spare in maintenance is engaged by nobody until it is given back', async () => {
    const controller = await start('automatic');
    const on = { host: 'spare1', state: 'on' } as const;
    expect(await controller.maintenance(on, 'alice')).toMatchObject({ hold: { by: 'alice' }, engagement: null });
    await expect(controller.clone({ lead: 'web1', to: 'spare1' })).rejects.toMatchObject({
      ...{ code: 'ENGAGEMENT_REFUSED', message: expect.stringContaining('in maintenance, ordered by alice') },
    });
    life.load = 14;
    await untilPhase(controller, 'wiki-1', 'serving');
    expect((await controller.status()).services[0]?.hosts).toEqual(['web1', 'spare2']);
    await controller.power('spare1', 'on', new AbortController().signal);
    await controller.power('spare1', 'off', new AbortController().signal);
    expect(await holdsOf(controller, 'spare1')).toEqual(['spare1 is in maintenance, ordered by alice']);
    expect(await controller.maintenance({ ...on, state: 'off' })).toEqual({ hold: null, engagement: null });
    await untilPhase(controller, 'wiki-2', 'serving');
    expect((await controller.status()).services[0]?.hosts).toEqual(['web1', 'spare2', 'spare1']);
  });

  it('holds - one that serves leaves the stage in good order, and another takes its place', async () => {
    const controller = await start('automatic');
    life.load = 14;
    await untilPhase(controller, 'wiki-1', 'serving');
    const answer = await controller.maintenance({ host: 'spare1', state: 'on' });
    expect(answer.engagement).toBe('wiki-1');
    await eventually('spare1 has left', async () => {
      return (await controller.status()).services[0]?.engagements.includes('wiki-1') === false;
    });
    expect([life.plant.isOn('spare1'), life.plant.disks.bytesOf('spare1').data]).toEqual([false, 'spare1']);
    await untilPhase(controller, 'wiki-2', 'serving');
    expect((await controller.status()).services[0]?.hosts).toEqual(['web1', 'spare2']);
    expect((await controller.engagement('wiki-1')).state).toBe('done');
  });

  it('holds - a lead in maintenance is cloned by nobody', async () => {
    const controller = await start('automatic');
    await controller.maintenance({ host: 'web1', state: 'on' });
    life.load = 14;
    await untilRefused(controller, /^web1 is in maintenance; else: the objective is broken/);
    expect((await controller.status()).services[0]?.holds).toMatchObject([{ kind: 'maintenance', name: 'web1' }]);
    const code = { code: 'ENGAGEMENT_REFUSED' };
    await expect(controller.clone({ lead: 'web1', to: 'spare1' })).rejects.toMatchObject(code);
  });

  it.each([
    ['pause', (controller: Controller) => controller.pause({ service: 'wiki', forMs: null }), /wiki is paused$/],
    ['maintenance', (controller: Controller) => maintenanceOf(controller, 'web1'), /web1 is in maintenance$/],
  ] as const)(
    'holds - a %s that is ordered while an engagement begins stops it before anything is touched',
    async (...[, order, reason]) => {
      const controller = await start('automatic');
      let asked = false;
      let go: () => void = () => undefined;
      const gate = new Promise<void>((resolve) => {
        go = resolve;
      });
      const holders = async () => {
        asked = true;
        await gate;
        return [];
      };
      Object.assign(life.plant.network, { holders });
      life.load = 14;
      await eventually('the address is looked at', () => asked);
      await order(controller);
      go();
      await untilDone(controller, 'wiki-1');
      expect(await controller.engagement('wiki-1')).toMatchObject({
        ...{ state: 'failed', phase: 'choose', error: { message: expect.stringMatching(reason) } },
      });
    },
  );
});

describe('an engagement that failed', () => {
  it('ack - it is failed until somebody takes note, and done then', async () => {
    const controller = await start('advise');
    life.plant.mute.add('spare1');
    const { engagement } = await controller.clone({ lead: 'web1', to: 'spare1' });
    await untilPhase(controller, engagement, 'prove');
    await expect(controller.acknowledge(engagement)).rejects.toMatchObject({
      ...{ code: 'ENGAGEMENT_REFUSED', message: expect.stringMatching(/under way \(prove\)/) },
    });
    await untilDone(controller, engagement);
    expect(await controller.engagement(engagement)).toMatchObject({ state: 'failed', acknowledgedAt: null });
    expect(await controller.acknowledge(engagement)).toEqual({ engagement });
    const view = await controller.engagement(engagement);
    expect(view).toMatchObject({ state: 'done', error: { code: 'PROVE_FAILED' } });
    expect(view.acknowledgedAt).not.toBeNull();
    await controller.acknowledge(engagement);
    expect(await controller.engagement(engagement)).toEqual(view);
  });

  it('ack - status lists what failed, some of what is done, and how many there are', async () => {
    const controller = await start('advise');
    const store = life.memory.open();
    const { engagement } = await controller.clone({ lead: 'web1', to: 'spare1' });
    await untilPhase(controller, engagement, 'serving');
    await controller.dismiss({ engagement });
    await untilDone(controller, engagement);
    const [record] = await store.list<object>('engagement/');
    for (let number = 2; number <= 20; number += 1) {
      const failed = number % 2 === 0;
      const failure = { code: 'PROVE_FAILED', message: 'no answer', phase: 'prove', at: 1 };
      const copy = { ...record?.value, name: `wiki-${number}`, sequence: number, failed, failure };
      await store.put(`engagement/wiki-${number}`, copy, 0);
    }
    const { engagements, engagementsTotal } = await controller.status();
    expect(engagementsTotal).toBe(20);
    expect(engagements.filter(({ state }) => state === 'failed')).toHaveLength(10);
    expect(engagements.filter(({ state }) => state === 'done')).toHaveLength(5);
    expect((await controller.history(3)).map(({ name }) => name)).toEqual(['wiki-20', 'wiki-19', 'wiki-18']);
  });
});
