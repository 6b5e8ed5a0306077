// Errors that nobody expects, of drivers and of what they begin: each is the failure of one name, told once, and all
// others go on.
import { EventEmitter } from 'node:events';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Controller, EventView } from '../../src/controller/mod.ts';
import { eachWithALife, life, start, untilDone, untilPhase } from '../rig/controller-life.ts';
import { eventually } from '../rig/wait.ts';
import { service } from '../sim/installation.ts';

eachWithALife();

const shop = { ...service('shop', 'web2', ['spare2']), mode: 'advise' as const };
/** What Node.js tells the process of, as `understudy up` takes it. */
const uncaught = (error: unknown): void => life.running.at(-1)?.uncaught(error);
let ending: NodeJS.UncaughtExceptionListener[];

beforeEach(() => {
  ending = process.rawListeners('uncaughtException') as NodeJS.UncaughtExceptionListener[];
  process.removeAllListeners('uncaughtException');
  process.removeAllListeners('unhandledRejection');
  process.on('uncaughtException', uncaught);
  process.on('unhandledRejection', uncaught);
});

afterEach(() => {
  process.removeAllListeners('uncaughtException');
  process.removeAllListeners('unhandledRejection');
  for (const listener of ending) process.on('uncaughtException', listener);
});

async function errors(controller: Controller): Promise<readonly EventView[]> {
  const { revision } = await controller.status();
  const stop = new AbortController();
  const found: EventView[] = [];
  for await (const event of controller.events(0, stop.signal)) {
    if (event.kind === 'error') found.push(event);
    if (event.revision >= revision) break;
  }
  stop.abort();
  return found;
}

/** A call of a driver that goes wrong in its own way. */
const ways: readonly (readonly [string, () => Promise<never>])[] = [
  [
    'throws',
    () => {
      throw new TypeError('poison');
    },
  ],
  ['rejects with what is no error', () => Promise.reject('poison')],
  [
    'throws in a timer',
    () =>
      new Promise(() => {
        setTimeout(() => {
          throw new TypeError('poison');
        }, 1);
      }),
  ],
  [
    'emits an error that nobody listens to',
    () =>
      new Promise(() => {
        const socket = new EventEmitter();
        setImmediate(() => socket.emit('error', new Error('poison')));
      }),
  ],
  [
    'forgets a promise that rejects',
    () =>
      new Promise(() => {
        void Promise.resolve().then(() => Promise.reject(new Error('poison')));
      }),
  ],
];

describe('a driver with a defect', () => {
  it.each(ways)('defects - one that %s ends its engagement alone, and is told once with its stack', async (_, work) => {
    const controller = await start('advise', 'one', [shop]);
    const { replicate } = life.plant.storage;
    Object.assign(life.plant.storage, {
      replicate: (request: { readonly to: string }, ...rest: unknown[]) =>
        request.to === 'spare1' ? work() : Reflect.apply(replicate, life.plant.storage, [request, ...rest]),
    });
    const { engagement: poisoned } = await controller.clone({ lead: 'web1', to: 'spare1' });
    const { engagement: other } = await controller.clone({ lead: 'web2', to: 'spare2' });
    await untilPhase(controller, other, 'serving');
    await eventually('the engagement is over', async () => {
      const { engagements } = await controller.status();
      return engagements.find(({ name }) => name === poisoned)?.state === 'failed' && !life.plant.isOn('spare1');
    });
    expect(await controller.engagement(poisoned)).toMatchObject({
      phase: 'replicate',
      error: { code: 'INTERNAL', phase: 'replicate', message: expect.stringContaining('poison') },
    });
    const told = (await errors(controller)).filter(({ text }) => text.includes('poison'));
    expect(told).toHaveLength(1);
    expect(told[0]?.subject).toBe(`engagement/${poisoned}`);
    const logged = life.log.filter((text) => text.includes('poison') && text.includes('\n'));
    expect(logged).toHaveLength(1);
    expect(logged[0]).toMatch(/^engagement\/wiki-1: .*poison\n {4}/);
    await controller.dismiss({ engagement: other });
    await untilDone(controller, other);
  });

  it('defects - of the director of one service is told once, the other is decided on, and it goes on by itself', async () => {
    const controller = await start('automatic', 'one', [shop]);
    const { observe } = life.plant.director;
    let asked = 0;
    const broken = (name: string, ...rest: unknown[]): unknown => {
      if (name !== 'wiki') return Reflect.apply(observe, life.plant.director, [name, ...rest]);
      asked += 1;
      throw new TypeError(`poison at ${asked}`);
    };
    Object.assign(life.plant.director, { observe: broken });
    await eventually('it is looked at again and again', () => asked > 4);
    const decisions = async (name: string): Promise<number> => (await controller.explain(name, 1000)).length;
    await eventually('shop is decided on', async () => (await decisions('shop')) > 0);
    const told = (await errors(controller)).filter(({ text }) => text.includes('poison'));
    expect(told.map(({ subject }) => subject)).toEqual(['service/wiki']);
    expect(life.log.filter((text) => text.includes('poison') && text.includes('\n'))).toHaveLength(1);
    Object.assign(life.plant.director, { observe });
    await eventually('wiki is decided on', async () => (await decisions('wiki')) > 0);
  });

  it('defects - of one host leaves all others looked at', async () => {
    const controller = await start('advise');
    const { state } = life.plant.power;
    Object.assign(life.plant.power, {
      state: (host: string, call: never) => {
        if (host === 'web2') throw new TypeError('poison');
        return state(host, call);
      },
    });
    const powers = async () => (await controller.status()).hosts.map(({ name, power }) => `${name} ${power}`);
    await eventually('all are looked at', async () => (await powers()).includes('spare3 off'));
    expect(await powers()).toEqual(['web1 on', 'web2 unknown', 'spare1 off', 'spare2 off', 'spare3 off']);
    expect(life.log.filter((text) => text.includes('poison') && text.includes('\n'))).toHaveLength(1);
  });

  it('defects - a volume that cannot be attached, and one that is never, keep no other host from its own', async () => {
    const first = await start('advise');
    const { attach, detach, status } = life.plant.storage;
    const attached = async () => {
      const { volumes } = await status();
      return volumes.filter(({ attachment }) => attachment !== null).map(({ name }) => name);
    };
    await eventually('all are attached', async () => (await attached()).length === life.plant.config.hosts.size);
    await first.stop();
    for (const name of ['spare1', 'spare2', 'spare3'])
      await detach(name, { epoch: 2, signal: new AbortController().signal });
    let waits = 0;
    Object.assign(life.plant.storage, {
      attach: (volume: string, host: string, call: Parameters<typeof attach>[2]) => {
        if (volume === 'spare2') throw new TypeError('poison');
        if (volume !== 'spare1') return attach(volume, host, call);
        waits += 1;
        return new Promise((_, reject) => {
          call.signal.addEventListener('abort', () => {
            waits -= 1;
            reject(call.signal.reason);
          });
        });
      },
    });
    await start('advise');
    await eventually('the other has its volume', async () => (await attached()).includes('spare3'));
    expect(waits).toBe(1);
  });

  it('defects - a call that is never answered is given up after some tries, with the phase and their number', async () => {
    const controller = await start('advise', 'one', [], {
      timeoutsMs: { off: 5000, boot: 60_000, drain: 5000, call: 20, copy: 20 },
    });
    Object.assign(life.plant.storage, { backup: () => new Promise(() => undefined) });
    const { engagement } = await controller.clone({ lead: 'web1', to: 'spare1' });
    await untilDone(controller, engagement);
    const { error, phase } = await controller.engagement(engagement);
    expect({ phase, code: error?.code }).toEqual({ phase: 'preserve', code: 'CALL_TIMEOUT' });
    expect(error?.message).toMatch(/it was tried 5 times$/);
  });

  it('defects - an error of nobody in particular is told of the controller, which goes on', async () => {
    const controller = await start('advise');
    for (let time = 0; time < 3; time += 1) controller.uncaught(new TypeError('of nobody'));
    await eventually('it is told', async () => (await errors(controller)).some(({ text }) => text.includes('nobody')));
    expect((await errors(controller)).map(({ subject }) => subject)).toEqual(['controller']);
    const { engagement } = await controller.clone({ lead: 'web1', to: 'spare1' });
    await untilPhase(controller, engagement, 'serving');
    await controller.dismiss({ engagement });
    await untilDone(controller, engagement);
  });

  it('defects - changes of engagements that cannot be watched for a while are watched again', async () => {
    const open = life.memory.open.bind(life.memory);
    let failures = 0;
    life.memory.open = (options) => {
      const store = open(options);
      const watch = store.watch.bind(store);
      const broken = (prefix: string, signal: AbortSignal) => {
        if (prefix === 'engagement/' && ++failures < 3) throw new Error('poison');
        return watch(prefix, signal);
      };
      return Object.assign(store, { watch: broken });
    };
    const controller = await start('advise');
    await eventually('it is watched again', () => failures === 3);
    const { engagement } = await controller.clone({ lead: 'web1', to: 'spare1' });
    await untilPhase(controller, engagement, 'serving');
    await controller.dismiss({ engagement });
    await untilDone(controller, engagement);
  });
});
