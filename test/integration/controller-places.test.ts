// Places that a real HAProxy has for a spare before it is engaged: left by hand, or by lost records.
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { eachWithALife, life, start, untilDone, untilPhase } from '../rig/controller-life.ts';
import { eventually } from '../rig/wait.ts';
import { service } from '../sim/installation.ts';
import { type HaproxyStage, onHaproxy } from '../support/haproxy-stage.ts';
import type { WebServer } from '../support/web-server.ts';

eachWithALife();

const PLACES = ['wiki', 'wiki-reads'];

/** As somebody at the runtime socket does. */
async function addByHand(stage: HaproxyStage, server: WebServer, name = server.name, at = ''): Promise<void> {
  for (const backend of PLACES) {
    const place = `${backend}/${name}`;
    await stage.haproxy.ask(`add server ${place} ${at === '' ? `${server.address}:${server.port}` : at}`);
    await stage.haproxy.ask(`enable server ${place}`);
  }
}

async function untilAsked(stage: HaproxyStage, server: WebServer): Promise<void> {
  await eventually(`${server.name} is asked`, async () => {
    await stage.haproxy.request('GET');
    return server.askedBy('GET') > 0;
  });
}

describe('a spare that the director has already', () => {
  it('places - is taken out before anything is copied, and gets nothing before it is proved', async () => {
    await onHaproxy(async (stage) => {
      life.director = stage.director;
      const spare = await stage.server('spare1');
      const controller = await start('advise');
      await addByHand(stage, spare);
      await untilAsked(stage, spare);
      const { engagement } = await controller.clone({ lead: 'web1', to: 'spare1' });
      await eventually('it is fenced', async () => {
        const { stages } = await controller.engagement(engagement);
        return stages.some(({ phase }) => phase === 'fence');
      });
      expect(await stage.seen('spare1')).toBeUndefined();
      const before = spare.asked.length;
      for (let request = 0; request < 20; request += 1) await stage.haproxy.request('GET');
      expect(spare.asked.length).toBe(before);
      await controller.dismiss({ engagement });
      await untilDone(controller, engagement);
      await controller.stop();
    });
  });

  it('places - its open requests are finished first', async () => {
    await onHaproxy(async (stage) => {
      life.director = stage.director;
      const spare = await stage.server('spare1');
      const edit = { timeoutsMs: { ...service('wiki', 'web1', []).timeoutsMs, drain: 600_000 } };
      const controller = await start('advise', 'one', [], edit);
      await addByHand(stage, spare);
      for (const backend of PLACES) await stage.haproxy.ask(`set server ${backend}/web1 state drain`);
      await eventually('the lead is drained', async () => (await stage.seen('web1'))?.state === 'drain');
      const open = await stage.haproxy.open('GET');
      expect(open.server).toBe('spare1');
      const { engagement } = await controller.clone({ lead: 'web1', to: 'spare1' });
      await eventually('it is drained', async () => (await stage.seen('spare1'))?.state === 'drain');
      await delay(300);
      expect((await controller.engagement(engagement)).phase).toBe('fence');
      spare.release();
      expect(await open.whole).toBe(true);
      await eventually('it is gone', async () => (await stage.seen('spare1')) === undefined);
      await controller.dismiss({ engagement });
      await untilDone(controller, engagement);
      await controller.stop();
    });
  });

  it('places - one that comes back while the disk is copied is taken out again before the spare is on', async () => {
    await onHaproxy(async (stage) => {
      life.director = stage.director;
      const spare = await stage.server('spare1');
      const controller = await start('advise');
      const { replicate } = life.plant.storage;
      let wasThere = false;
      Object.assign(life.plant.storage, {
        replicate: async (...args: Parameters<typeof replicate>) => {
          await addByHand(stage, spare);
          wasThere = (await stage.seen('spare1')) !== undefined;
          return replicate(...args);
        },
      });
      const { engagement } = await controller.clone({ lead: 'web1', to: 'spare1' });
      await untilPhase(controller, engagement, 'prove');
      expect([wasThere, await stage.seen('spare1')]).toEqual([true, undefined]);
      await controller.dismiss({ engagement });
      await untilDone(controller, engagement);
      await controller.stop();
    });
  });

  it('places - a server of another name at its address is left, and the spare is not engaged', async () => {
    await onHaproxy(async (stage) => {
      life.director = stage.director;
      const controller = await start('advise');
      await addByHand(stage, stage.lead, 'old-web', '10.0.0.21:80');
      const { engagement } = await controller.clone({ lead: 'web1', to: 'spare1' });
      await untilDone(controller, engagement);
      expect(await controller.engagement(engagement)).toMatchObject({
        phase: 'choose',
        error: {
          code: 'ENGAGEMENT_REFUSED',
          message: expect.stringMatching(/the director of wiki has its address 10\.0\.0\.21:80 as the server old-web/),
        },
      });
      expect(await stage.seen('old-web')).toBeDefined();
      await controller.stop();
    });
  });
});

describe('the address of a spare', () => {
  it.each([
    ['choose', 'before anything', true],
    ['fence', 'once the spare is off', false],
  ] as const)('places - is looked at in %s, %s is touched', async (phase, _, fromTheStart) => {
    const controller = await start('advise');
    const stranger = '52:54:00:ff:ff:ff';
    let looks = 0;
    Object.assign(life.plant.network, {
      holders: async () => (++looks > (fromTheStart ? 0 : 1) ? [stranger] : []),
    });
    const { engagement } = await controller.clone({ lead: 'web1', to: 'spare1' });
    await untilDone(controller, engagement);
    const view = await controller.engagement(engagement);
    expect(view).toMatchObject({ phase, error: { code: 'ADDRESS_IN_USE' } });
    expect(view.error?.message).toContain(stranger);
    expect(view.stages.some(({ phase: one }) => one === 'preserve')).toBe(false);
  });

  it('places - a spare that is on may answer at its own address, until it is off', async () => {
    const controller = await start('advise');
    await controller.power('spare1', 'on', new AbortController().signal);
    const { engagement } = await controller.clone({ lead: 'web1', to: 'spare1' });
    await untilPhase(controller, engagement, 'serving');
  });
});
