// The controller as a whole, over a simulated plant whose time flies: modes, orders, a second controller, stops and
// starts.
import { describe, expect, it } from 'vitest';
import { eachWithALife, life, reportOf, start, untilDone, untilPhase } from '../rig/controller-life.ts';
import { eventually } from '../rig/wait.ts';
import { service } from '../sim/installation.ts';

eachWithALife();

describe('the controller', () => {
  it('controller - mode automatic: load is seen, a spare is engaged, and released when the load is gone', async () => {
    const controller = await start('automatic');
    life.load = 14;
    await untilPhase(controller, 'wiki-1', 'serving');
    const status = await controller.status();
    expect(status.services[0]).toMatchObject({ hosts: ['web1', 'spare1'], hostsMax: 3, engagements: ['wiki-1'] });
    expect(status.hosts.find(({ name }) => name === 'spare1')).toMatchObject({
      power: 'on',
      role: 'understudy',
      volume: { content: 'replica', attached: true },
    });
    life.load = 1;
    await untilDone(controller, 'wiki-1');
    const { stages, timeToCapacitySeconds } = await controller.engagement('wiki-1');
    const way = ['choose', 'fence', 'preserve', 'replicate', 'personalise', 'boot', 'prove', 'admit'];
    expect(stages.map(({ phase }) => phase)).toEqual([...way, 'serving', 'drain', 'off', 'restore', 'release']);
    expect(timeToCapacitySeconds).toBeGreaterThan(0);
    const decisions = await controller.explain('wiki', 100);
    expect(decisions.map(({ action }) => action)).toEqual(expect.arrayContaining(['scale-in', 'scale-out', 'none']));
    const out = decisions.find(({ action }) => action === 'scale-out');
    expect(out).toMatchObject({ outcome: 'started', verdict: 'degraded', engagement: 'wiki-1' });
    expect(out?.evidence[0]).toMatchObject({ host: 'web1', text: 'probe.milliseconds is degraded' });
  });

  it('controller - what two hosts cannot bear brings a third, and nothing brings a fourth', async () => {
    const controller = await start('automatic');
    life.load = 14;
    await untilPhase(controller, 'wiki-1', 'serving');
    expect((await controller.status()).services[0]?.hosts).toEqual(['web1', 'spare1']);
    await untilPhase(controller, 'wiki-2', 'serving');
    expect((await controller.status()).services[0]?.hosts).toEqual(['web1', 'spare1', 'spare2']);
    expect(['spare1', 'spare2'].map((host) => [life.plant.isOn(host), life.plant.disks.bytesOf(host).data])).toEqual([
      [true, 'web1'],
      [true, 'web1'],
    ]);
    await eventually('a fourth is refused', async () =>
      (await controller.explain('wiki', 10)).find(
        ({ action, outcome }) => action === 'scale-out' && outcome === 'refused',
      ),
    );
    life.load = 1;
    await untilDone(controller, 'wiki-2');
    await untilDone(controller, 'wiki-1');
    expect(['spare1', 'spare2'].filter((host) => life.plant.isOn(host))).toEqual([]);
  });

  it('controller - a spare that was released serves another lead', async () => {
    const controller = await start('advise', 'one', [{ ...service('shop', 'web2', ['spare2']), mode: 'advise' }]);
    for (const lead of ['web1', 'web2']) {
      const { engagement } = await controller.clone({ lead, to: 'spare2' });
      await untilPhase(controller, engagement, 'serving');
      expect([life.plant.isOn('spare2'), life.plant.disks.bytesOf('spare2').data]).toEqual([true, lead]);
      await controller.dismiss({ host: 'spare2' });
      await untilDone(controller, engagement);
      expect([life.plant.isOn('spare2'), life.plant.disks.bytesOf('spare2').data]).toEqual([false, 'spare2']);
    }
  });

  it('controller - mode advise: it says what it would do, and does nothing', async () => {
    const controller = await start('advise');
    life.load = 14;
    const advice = await eventually('advice', async () =>
      (await controller.explain('wiki', 10)).find(({ outcome }) => outcome === 'advised'),
    );
    expect(advice).toMatchObject({ action: 'scale-out', engagement: null });
    expect((await controller.status()).engagements).toEqual([]);
  });

  it('controller - mode approve: a plan waits for a yes, is carried out once, and goes when its reason goes', async () => {
    const controller = await start('approve');
    life.load = 14;
    const pending = async (): Promise<string | undefined> => (await controller.status()).services[0]?.pendingPlan?.id;
    const first = await eventually('a plan', pending);
    life.load = 1;
    await eventually('no plan', async () => (await pending()) === undefined);
    await expect(controller.approve(first)).rejects.toMatchObject({ code: 'ENGAGEMENT_REFUSED' });
    life.load = 14;
    const second = await eventually('another plan', pending);
    const both = await Promise.allSettled([controller.approve(second), controller.approve(second)]);
    expect(both.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    await untilPhase(controller, 'wiki-1', 'serving');
  });

  it('controller - what the disk of a host says, of a host that is known', async () => {
    const controller = await start('advise');
    const { signal } = new AbortController();
    expect((await controller.inspect('web1', signal)).os.id).toBe('mark');
    await expect(controller.inspect('web9', signal)).rejects.toMatchObject({ code: 'HOST_UNKNOWN' });
  });

  it('controller - clone and dismiss by hand; asked again they answer the same', async () => {
    const controller = await start('advise');
    const { engagement } = await controller.clone({ lead: 'web1', to: 'spare2' });
    expect(await controller.clone({ lead: 'web1', to: 'spare2' })).toEqual({ engagement });
    await untilPhase(controller, engagement, 'serving');
    await expect(controller.power('spare2', 'off', new AbortController().signal)).rejects.toMatchObject({
      code: 'ENGAGEMENT_REFUSED',
    });
    await expect(controller.power('web1', 'off', new AbortController().signal)).rejects.toMatchObject({
      code: 'ENGAGEMENT_REFUSED',
    });
    expect(await controller.dismiss({ host: 'spare2' })).toEqual({ engagement });
    await untilDone(controller, engagement);
    expect(life.plant.isOn('spare2')).toBe(false);
    expect(await controller.dismiss({ engagement })).toEqual({ engagement });
    const on = await controller.power('spare2', 'on', new AbortController().signal);
    expect([on, life.plant.isOn('spare2')]).toEqual([{ power: 'on' }, true]);
  });

  it.each([
    ['a host that is not there', { lead: 'web1', to: 'web9' }, 'HOST_UNKNOWN'],
    ['a spare of no pool of the lead', { lead: 'web1', to: 'spare3' }, 'ENGAGEMENT_REFUSED'],
    ['a lead of no service', { lead: 'web2', to: 'spare1' }, 'ENGAGEMENT_REFUSED'],
  ])('controller - clone is refused for %s', async (_, request, code) => {
    const controller = await start('advise');
    await expect(controller.clone(request)).rejects.toMatchObject({ code });
  });

  it('controller - dismissing stops a copy under way', async () => {
    const controller = await start('advise');
    const stuck = { ...life.plant.storage };
    let [begun, stopped] = [false, false];
    Object.assign(life.plant.storage, {
      replicate: (_request: unknown, { signal }: { signal: AbortSignal }) =>
        new Promise((_resolve, reject) => {
          begun = true;
          signal.addEventListener('abort', () => {
            stopped = true;
            reject(new Error('stopped'));
          });
        }),
    });
    const { engagement } = await controller.clone({ lead: 'web1', to: 'spare1' });
    await eventually('a copy under way', () => begun);
    await controller.dismiss({ engagement });
    await untilDone(controller, engagement);
    expect(stopped).toBe(true);
    Object.assign(life.plant.storage, stuck);
  });

  it('controller - a host that never answers is given up, with the phase and the reason, and the spare is restored', async () => {
    const controller = await start('advise');
    life.plant.mute.add('spare1');
    const { engagement } = await controller.clone({ lead: 'web1', to: 'spare1' });
    await untilDone(controller, engagement);
    const view = await controller.engagement(engagement);
    expect(view).toMatchObject({ state: 'failed', phase: 'prove', error: { code: 'PROVE_FAILED', phase: 'prove' } });
    expect(view.error?.remedy).toContain('timeouts.boot');
    expect(life.plant.isOn('web1')).toBe(true);
  });

  it('controller - power that nobody can tell stops the plan before anything is touched', async () => {
    const controller = await start('advise');
    life.plant.silent.add('spare1');
    const { engagement } = await controller.clone({ lead: 'web1', to: 'spare1' });
    await untilDone(controller, engagement);
    expect(await controller.engagement(engagement)).toMatchObject({
      phase: 'choose',
      error: { code: 'POWER_UNKNOWN' },
    });
  });

  it('controller - what holds up the way down is told as long as it does, then again what the engagement failed of', async () => {
    const controller = await start('advise');
    life.plant.mute.add('spare1');
    const { engagement } = await controller.clone({ lead: 'web1', to: 'spare1' });
    await untilPhase(controller, engagement, 'prove');
    life.plant.silent.add('spare1');
    await eventually('the way down is held up', async () => {
      const { state, error } = await controller.engagement(engagement);
      return (
        state === 'failed' &&
        error?.remedy.endsWith('by itself') &&
        error.code === 'POWER_FAILED' &&
        error.phase === 'off'
      );
    });
    life.plant.silent.delete('spare1');
    await untilDone(controller, engagement);
    expect(await controller.engagement(engagement)).toMatchObject({ state: 'failed', error: { code: 'PROVE_FAILED' } });
  });

  it('controller - an address that somebody holds is not taken', async () => {
    const controller = await start('advise');
    // Somebody takes it while the disk is copied.
    let looks = 0;
    Object.assign(life.plant.network, { holders: async () => (++looks > 2 ? ['52:54:00:ff:ff:ff'] : []) });
    const { engagement } = await controller.clone({ lead: 'web1', to: 'spare1' });
    await untilDone(controller, engagement);
    const view = await controller.engagement(engagement);
    expect(view).toMatchObject({ phase: 'boot', error: { code: 'ADDRESS_IN_USE' } });
    expect(view.error?.message).toContain('52:54:00:ff:ff:ff');
  });

  it('controller - a director that was restarted is told again, and an understudy that went off is started again', async () => {
    const controller = await start('advise');
    const { engagement } = await controller.clone({ lead: 'web1', to: 'spare1' });
    await untilPhase(controller, engagement, 'serving');
    const inDirector = async (): Promise<boolean> => {
      const { servers } = await life.plant.director.observe('wiki', { epoch: 1, signal: new AbortController().signal });
      return servers.some(({ name, state }) => name === 'spare1' && state === 'ready');
    };
    life.plant.director.restart();
    expect(await inDirector()).toBe(false);
    await eventually('spare1 in the director again', inDirector);
    life.plant.switchOff('spare1');
    await eventually('spare1 on again', () => life.plant.isOn('spare1'));
    await eventually('spare1 in the director again', inDirector);
  });

  it('controller - a second one is refused; one that stops lets the next go on where it was', async () => {
    const first = await start('advise');
    await expect(start('advise', 'two')).rejects.toMatchObject({ code: 'CONTROLLER_RUNNING' });
    const { engagement } = await first.clone({ lead: 'web1', to: 'spare1' });
    await untilPhase(first, engagement, 'prove');
    await first.stop();
    expect(await first.ended).toBeNull();
    const second = await start('advise', 'two');
    await untilPhase(second, engagement, 'serving');
    expect((await second.status()).controller.epoch).toBeGreaterThan(1);
  });

  it('controller - events come in order, from where the reader left off', async () => {
    const controller = await start('advise');
    const { engagement } = await controller.clone({ lead: 'web1', to: 'spare1' });
    await untilPhase(controller, engagement, 'serving');
    const read = async (
      after: number,
      last: (kind: string, count: number) => boolean,
    ): Promise<{ revision: number; kind: string }[]> => {
      const stop = new AbortController();
      const found: { revision: number; kind: string }[] = [];
      for await (const event of controller.events(after, stop.signal)) {
        found.push(event);
        if (last(event.kind, found.length)) break;
      }
      stop.abort();
      return found;
    };
    const all = await read(0, (kind) => kind === 'capacity');
    expect(all.length).toBeGreaterThan(8);
    const revisions = all.map(({ revision }) => revision);
    expect(revisions).toEqual(revisions.toSorted((a, b) => a - b));
    expect(await read(revisions[3] ?? 0, (kind) => kind === 'capacity')).toEqual(all.slice(4));
  });

  it('controller - an old report changes nothing', async () => {
    const controller = await start('advise');
    if (life.ticker !== null) clearInterval(life.ticker);
    const late = reportOf('web1');
    const instruction = await controller.report('web1', { ...reportOf('web1'), verdict: 'healthy' });
    expect(instruction).toMatchObject({
      signals: [{ name: 'probe.milliseconds', baseline: null, outside: false }],
      probe: { url: 'http://10.0.0.11:80/' },
    });
    await controller.report('web1', { ...late, verdict: 'degraded' });
    const web1 = (await controller.status()).hosts.find(({ name }) => name === 'web1');
    expect(web1?.agent?.verdict).toBe('healthy');
    expect(await controller.report('spare3', reportOf('spare3'))).toMatchObject({ signals: [], probe: null });
  });
});
