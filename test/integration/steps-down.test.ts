// The steps of the way down, one at a time: what users began is finished, and a host is as it was.
import { beforeEach, describe, expect, it } from 'vitest';
import type { Call } from '../../src/base/mod.ts';
import { drain, off, release, restore } from '../../src/controller/steps-down.ts';
import { admit, boot, fence, personalise, preserve, replicate } from '../../src/controller/steps-up.ts';
import { StepBench } from '../rig/step-bench.ts';

const call: Call = { epoch: 2, signal: new AbortController().signal };
const DONE = { kind: 'done' };
let bench: StepBench;

/** spare1 serves reads. */
async function serves(expendable = false): Promise<StepBench> {
  const made = await StepBench.make({ understudy: { expendable } });
  for (const step of [fence, preserve, replicate, personalise, boot]) await made.do(step);
  made.plant.nowMs += 60_000;
  made.enter('admit');
  await made.do(admit);
  made.enter('drain');
  return made;
}

const server = async () =>
  (await bench.plant.director.observe('wiki', call)).servers.find(({ name }) => name === 'spare1');
const volume = async () => (await bench.plant.storage.status()).volumes.find(({ name }) => name === 'spare1');

beforeEach(async () => {
  bench = await serves();
});

describe('drain', () => {
  /** A read that spare1 is answering. */
  function openRead() {
    for (;;) {
      const request = bench.plant.director.request('wiki', 'read');
      if (request?.server === 'spare1') return request;
      request?.end();
    }
  }

  it('steps - gets no new request while it finishes what it has, and then is gone', async () => {
    const open = openRead();
    expect(await bench.do(drain)).toMatchObject({ kind: 'again' });
    expect([(await server())?.state, bench.waits]).toEqual(['drain', ['connections']]);
    const others = Array.from({ length: 10 }, () => bench.plant.director.request('wiki', 'read')?.server);
    expect(others).not.toContain('spare1');
    open.end();
    expect(await bench.do(drain)).toEqual(DONE);
    expect([await server(), await open.whole]).toEqual([undefined, true]);
  });

  it('steps - a request without end is cut when the time for it is over, and not before', async () => {
    const open = openRead();
    bench.plant.nowMs += 4999;
    expect(await bench.do(drain)).toMatchObject({ kind: 'again' });
    expect((await server())?.connections).toBe(1);
    bench.plant.nowMs += 1;
    expect(await bench.do(drain)).toEqual(DONE);
    expect([await server(), await open.whole]).toEqual([undefined, false]);
  });

  it('steps - one that was never to be admitted costs the director no question', async () => {
    bench = await StepBench.make();
    bench.plant.director.fault('unreachable');
    expect(await bench.do(drain)).toEqual(DONE);
    bench.enter('admit');
    await expect(bench.do(drain)).rejects.toMatchObject({ code: 'DIRECTOR_FAILED' });
  });
});

describe('off', () => {
  it('steps - the understudy is off and without its volume, also with a relay that says so too early', async () => {
    bench.plant.relays.fault('spare1', { kind: 'early', times: 1 });
    expect(await bench.do(off)).toEqual(DONE);
    expect([bench.plant.isOn('spare1'), (await volume())?.attachment]).toEqual([false, null]);
  });

  it('steps - one that keeps its power keeps its volume', async () => {
    bench.plant.relays.fault('spare1', { kind: 'ignore' });
    await expect(bench.do(off)).rejects.toMatchObject({ code: 'POWER_TIMEOUT' });
    expect((await volume())?.attachment?.host).toBe('spare1');
  });

  it('steps - a spare that has its own data runs on, and no late call of an earlier controller writes it any more', async () => {
    bench = await StepBench.make();
    const early: Call = { ...call, epoch: 1 };
    await bench.plant.storage.attach('spare1', 'spare1', early);
    bench.plant.switchOn('spare1');
    expect(await bench.do(off)).toEqual(DONE);
    expect([bench.plant.isOn('spare1'), (await volume())?.attachment?.host]).toEqual([true, 'spare1']);
    const late = [
      bench.plant.storage.detach('spare1', early),
      bench.plant.storage.backup('spare1', 'wiki-5', early),
      bench.plant.storage.replicate({ engagement: 'wiki-5', from: 'web1', to: 'spare1' }, early),
    ];
    for (const one of late) await expect(one).rejects.toMatchObject({ code: 'EPOCH_STALE' });
  });
});

describe('restore and release', () => {
  it('steps - its own data come back, its backup goes, it can be reached by its own host again', async () => {
    await bench.do(off);
    await bench.plant.storage.detach('spare2', call);
    const other = { ...bench.engagement, name: 'wiki-9' };
    await expect(bench.do(release)).rejects.toMatchObject({
      code: 'VOLUME_STATE',
      message: 'spare1 does not hold its own data after it was restored',
    });
    expect(await bench.do(restore)).toEqual(DONE);
    const { data, identity } = bench.plant.disks.bytesOf('spare1');
    expect([data, identity, bench.plant.disks.backupsOf('spare1')]).toEqual(['spare1', 'spare1', 1]);
    // The backup of another engagement is not its own to delete.
    bench.engagement = other;
    await bench.do(release);
    expect(bench.plant.disks.backupsOf('spare1')).toBe(1);
    bench.engagement = { ...other, name: 'wiki-5' };
    expect(await bench.do(release)).toEqual(DONE);
    expect([bench.plant.disks.backupsOf('spare1'), (await volume())?.attachment?.host]).toEqual([0, 'spare1']);
  });

  it('steps - what is expendable stays as it is, and is never taken for its own', async () => {
    bench = await serves(true);
    for (const step of [off, restore, release]) expect(await bench.do(step)).toEqual(DONE);
    expect([bench.plant.disks.bytesOf('spare1').data, (await volume())?.attachment]).toEqual(['web1', null]);
  });

  it('steps - data that are not what was kept are not taken for its own', async () => {
    await bench.do(off);
    bench.plant.disks.spoilBackups('spare1');
    await expect(bench.do(restore)).rejects.toMatchObject({ code: 'DIGEST_MISMATCH' });
    await expect(bench.do(release)).rejects.toMatchObject({ code: 'VOLUME_STATE' });
    expect([(await volume())?.content.kind, bench.plant.disks.backupsOf('spare1')]).toEqual(['unfinished', 1]);
  });
});
