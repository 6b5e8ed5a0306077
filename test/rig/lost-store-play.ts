// One loss of the store, as a program of its own: the copy engine starts processes of the built program. Its argument
// is a LostStoreCase; it ends with status 0 when all came out well.
import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import { codeOf } from '../../src/base/mod.ts';
import type { Phase } from '../../src/controller/mod.ts';
import { type Loss, LostStore, type Up } from './lost-store.ts';
import { patience } from './patience.ts';
import { eventually } from './wait.ts';

const UP: readonly Phase[] = ['choose', 'fence', 'preserve', 'replicate', 'personalise', 'boot', 'prove', 'admit'];
const DOWN: readonly Phase[] = ['drain', 'off', 'restore', 'release'];
export const PHASES: readonly Phase[] = [...UP, 'serving', ...DOWN];

export interface LostStoreCase {
  readonly phase: Phase;
  readonly loss: Loss;
  /** From the record of the phase to the death. */
  readonly afterMs: number;
}

async function untilDead(stage: LostStore, phase: Phase, afterMs: number): Promise<void> {
  const up = await stage.up();
  const { epoch } = (await up.controller.status()).controller;
  await up.storage.attach('web1', 'web1', { epoch, signal: AbortSignal.timeout(patience(10_000)) });
  stage.keepCopy('before');
  let dismissed = false;
  const dead = new Promise<void>((resolve) => {
    stage.watch((now) => {
      if (now !== phase) {
        stage.keepCopy(now);
        if (now !== 'serving' || dismissed) return;
        dismissed = true;
        void up.controller.dismiss({ host: 'spare1' });
        return;
      }
      stage.watch(() => undefined);
      setTimeout(() => {
        up.kill();
        resolve();
      }, afterMs);
    });
  });
  await up.controller.clone({ lead: 'web1', to: 'spare1' });
  await dead;
  await up.end();
}

/** null: this store is refused. */
async function upOrNull(stage: LostStore): Promise<Up | null> {
  try {
    return await stage.up();
  } catch (error) {
    assert.ok(['STORE_FAILED', 'STATE_LOST'].includes(codeOf(error) ?? ''), String(error));
    return null;
  }
}

async function expectNothingDone(stage: LostStore, { controller, storage }: Up): Promise<void> {
  const before = stage.bytes('spare1');
  const [started, on] = [stage.started.length, stage.isOn('spare1')];
  const { services } = await controller.status();
  assert.deepEqual(
    services.map(({ mode }) => mode),
    ['advise'],
  );
  await assert.rejects(controller.clone({ lead: 'web1', to: 'spare2' }), { code: 'STATE_LOST' });
  await assert.rejects(controller.dismiss({ host: 'spare1' }), { code: 'STATE_LOST' });
  await delay(100);
  assert.ok(stage.bytes('spare1').equals(before), 'the spare is as it was found');
  assert.deepEqual([stage.started.length, stage.isOn('spare1')], [started, on]);
  assert.ok((await storage.status()).daemon.running);
}

async function untilOver({ controller }: Up): Promise<void> {
  await eventually(
    () => 'no engagement is under way',
    async () => (await controller.status()).services.every(({ engagements }) => engagements.length === 0),
  );
}

async function expectWhole(stage: LostStore, own: Buffer, lead: Buffer, { storage, controller }: Up): Promise<void> {
  assert.equal(controller.unsettled, null);
  assert.ok(stage.bytes('spare1').equals(own), 'the spare has its own data');
  assert.ok(stage.bytes('web1').equals(lead), 'the lead was not touched');
  const { volumes } = await storage.status();
  const [web1, spare1] = volumes;
  assert.deepEqual([web1?.content.kind, web1?.attachment?.host, web1?.problem], ['own', 'web1', null]);
  assert.deepEqual([spare1?.content.kind, spare1?.backups, spare1?.problem], ['own', [], null]);
}

async function play({ phase, loss, afterMs }: LostStoreCase): Promise<void> {
  const stage = new LostStore();
  const [own, lead] = [stage.bytes('spare1'), stage.bytes('web1')];
  try {
    await untilDead(stage, phase, afterMs);
    stage.watch(() => undefined);
    const earlier = PHASES[PHASES.indexOf(phase) - 2] ?? 'before';
    stage.lose(loss, earlier);
    const lost = await upOrNull(stage);
    if (lost !== null && lost.controller.unsettled !== null) await expectNothingDone(stage, lost);
    // An older copy that says of every volume what its stamp says is gone on with, as after a crash.
    else assert.ok(loss === 'older' || lost === null, 'it was noticed');
    await lost?.end();
    await stage.recover();
    const again = await stage.up();
    const { engagements } = await again.controller.status();
    if (engagements.some(({ state }) => state === 'running' || state === 'waiting')) {
      await again.controller.dismiss({ host: 'spare1' });
    }
    await untilOver(again);
    await expectWhole(stage, own, lead, again);
    // And it can be engaged again, under a name that never was.
    const { engagement } = await again.controller.clone({ lead: 'web1', to: 'spare1' });
    assert.equal(engagement, 'wiki-2');
    await again.end();
  } finally {
    await stage.close();
  }
}

/** A controller that was stopped before its state folder was removed, and goes on after the recovery. */
async function playPaused(): Promise<void> {
  const stage = new LostStore();
  const own = stage.bytes('spare1');
  try {
    const paused = await stage.up();
    const { epoch } = (await paused.controller.status()).controller;
    stage.lose('state removed', '');
    await stage.recover();
    const next = await stage.up();
    const later = (await next.controller.status()).controller.epoch;
    assert.ok(later > epoch, `${later} is above ${epoch}`);
    const call = { epoch, signal: AbortSignal.timeout(patience(20_000)) };
    const refused = (work: Promise<unknown>): Promise<void> =>
      assert.rejects(work, ({ code }: { code: string }) => ['STATE_LOST', 'EPOCH_STALE'].includes(code));
    await refused(paused.storage.attach('spare1', 'spare1', call));
    await refused(paused.storage.replicate({ engagement: 'wiki-1', from: 'web1', to: 'spare1' }, call));
    await refused(next.storage.replicate({ engagement: 'wiki-1', from: 'web1', to: 'spare1' }, call));
    await assert.rejects(paused.gate.admit('power/spare1', epoch), { code: 'EPOCH_STALE' });
    await next.gate.admit('power/spare1', later);
    assert.ok(stage.bytes('spare1').equals(own), 'the spare was not touched');
    assert.ok((await next.storage.status()).daemon.running);
  } finally {
    await stage.close();
  }
}

const given = process.argv[2];
if (given === 'paused') await playPaused();
else if (given !== undefined) await play(JSON.parse(given) as LostStoreCase);
