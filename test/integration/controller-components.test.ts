// What services need beside hosts, as status shows it: a director that is away, the storage daemon, the store.
import { describe, expect, it } from 'vitest';
import { UnderstudyError } from '../../src/base/mod.ts';
import { Components } from '../../src/controller/components.ts';
import type { ComponentView, Controller } from '../../src/controller/mod.ts';
import { eachWithALife, life, start, untilPhase } from '../rig/controller-life.ts';
import { eventually } from '../rig/wait.ts';
import { onHaproxy, SERVICE } from '../support/haproxy-stage.ts';

eachWithALife();

async function component(controller: Controller, kind: ComponentView['kind']): Promise<ComponentView | undefined> {
  return (await controller.status()).components.find((one) => one.kind === kind);
}

function untilState(controller: Controller, kind: ComponentView['kind'], state: ComponentView['state']) {
  return eventually(`${kind} is ${state}`, async () => {
    const found = await component(controller, kind);
    return found?.state === state && found;
  });
}

describe('components', () => {
  it('components - a service whose director cannot be asked is not healthy, and nothing is engaged for it', async () => {
    const controller = await start('automatic');
    await untilState(controller, 'director', 'ok');
    await eventually('wiki is healthy', async () => (await controller.status()).services[0]?.verdict === 'healthy');
    life.plant.director.fault('unreachable');
    const row = await untilState(controller, 'director', 'unreachable');
    expect(row).toMatchObject({ name: 'wiki', detail: expect.stringContaining('cannot be asked (DIRECTOR_FAILED)') });
    const [wiki] = (await controller.status()).services;
    expect(wiki).toMatchObject({ verdict: 'unknown' });
    expect(wiki?.evidence.at(-1)?.text).toMatch(/^director: cannot be asked/);
    await eventually('the decision says so too', async () => {
      return (await controller.status()).services[0]?.lastDecision?.verdict === 'unknown';
    });
    life.plant.director.fault(null);
    await untilState(controller, 'director', 'ok');
    await eventually('wiki is healthy', async () => (await controller.status()).services[0]?.verdict === 'healthy');
  });

  it('components - a service of which no server takes requests is failing', async () => {
    const controller = await start('advise');
    await untilState(controller, 'director', 'ok');
    await life.plant.director.drain('wiki', 'web1', { epoch: 1, signal: new AbortController().signal });
    const row = await untilState(controller, 'director', 'down');
    expect(row.detail).toBe('no server takes requests of wiki: its server web1 is drained');
    expect((await controller.status()).services[0]?.verdict).toBe('failing');
  });

  it('components - with the lead out of the director, readers get through and writers do not', async () => {
    const controller = await start('advise');
    const { engagement } = await controller.clone({ lead: 'web1', to: 'spare1' });
    await untilPhase(controller, engagement, 'serving');
    await life.plant.director.drain('wiki', 'web1', { epoch: 1, signal: new AbortController().signal });
    await untilState(controller, 'director', 'degraded');
    expect((await controller.status()).services[0]?.verdict).not.toBe('healthy');
  });

  it('components - the storage node and the store have rows of their own', async () => {
    const controller = await start('advise');
    expect(await component(controller, 'storage')).toMatchObject({ state: 'ok', driver: 'qemu-storage-daemon' });
    expect(await component(controller, 'store')).toMatchObject({ state: 'ok', detail: 'all records can be used' });
    const { status } = life.plant.storage;
    const node = await status();
    const stopped = { ...node, daemon: { running: false, restarts: 3 } };
    Object.assign(life.plant.storage, { status: async () => stopped });
    expect(await component(controller, 'storage')).toMatchObject({
      ...{ state: 'down', detail: expect.stringMatching(/does not run; it was started again 3 times$/) },
    });
    const gone = new UnderstudyError('STORAGE_FAILED', 'the storage node is gone');
    Object.assign(life.plant.storage, { status: async () => Promise.reject(gone) });
    expect((await component(controller, 'storage'))?.state).toBe('down');
    Object.assign(life.plant.storage, { status });
    await life.memory.open().put('plan/wiki', 'nonsense', 0);
    await untilState(controller, 'store', 'degraded');
  });

  it('components - a real HAProxy: its lead goes down, and then it is killed itself', async () => {
    await onHaproxy(async (stage) => {
      life.director = stage.director;
      const controller = await start('advise');
      await untilState(controller, 'director', 'ok');
      stage.lead.dead = true;
      const down = await untilState(controller, 'director', 'down');
      expect(down.detail).toBe(`no server takes requests of ${SERVICE}: its server web1 is down, by its health check`);
      expect((await controller.status()).services[0]?.verdict).toBe('failing');
      stage.lead.dead = false;
      await untilState(controller, 'director', 'ok');
      await stage.haproxy.kill();
      const gone = await untilState(controller, 'director', 'unreachable');
      expect(gone.detail).toMatch(/^cannot be asked \(DIRECTOR_FAILED\)/);
      // A path of this machine is nothing for every viewer.
      expect(gone.detail).not.toContain('/');
      expect((await controller.status()).services[0]?.verdict).not.toBe('healthy');
      await controller.stop();
    });
  });

  it('components - what was not asked for a minute is not known', () => {
    const components = new Components();
    expect(components.director('wiki', 0)).toBeNull();
    components.saw('director/wiki', { state: 'ok', detail: 'all is well' }, 1000);
    components.saw('director/wiki', { state: 'ok', detail: 'all is well' }, 5000);
    expect(components.view('director', 'wiki', 'haproxy', 65_000)).toMatchObject({
      ...{ state: 'ok', since: '1970-01-01T00:00:01.000Z' },
    });
    expect(components.view('director', 'wiki', 'haproxy', 65_001)).toMatchObject({ state: 'unknown', since: null });
  });
});
