// A step that ends the controller, in a real process: it is counted, given up, and nothing is lost; and errors that
// nobody caught, which end nothing. The same with a store full of records that cannot be used.
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { StatusAnswer } from '../../src/api/mod.ts';
import { EXIT_INTERNAL, present, seededRandom } from '../../src/base/mod.ts';
import type { Check } from '../../src/cli/mod.ts';
import type { StatusView } from '../../src/controller/mod.ts';
import { commandsWith, freeze } from '../rig/machines.ts';
import { patience } from '../rig/patience.ts';
import { UpStage } from '../rig/up-stage.ts';
import { eventually } from '../rig/wait.ts';
import { PoisonedFile } from '../support/poison.ts';

const CASE_MS = patience(300_000);
/** What the backups of spares are made of, and what is put back from. */
const [PRESERVE, RESTORE] = ['spare1.img', 'spare1.raw'];

let stage: UpStage;

beforeEach(async () => {
  stage = await UpStage.make();
}, CASE_MS);

afterEach(() => stage?.close(), CASE_MS);

/** Without waiting for its end, which a dying controller does not tell. */
async function clone(spare: string): Promise<void> {
  void stage.understudy('clone', 'web1', '--to', spare).catch(() => undefined);
  await eventually(
    'the clone is asked for',
    async () => !stage.running || (await stage.json<StatusView>('status')).engagements.length > 0,
  );
}

describe('a part that does not answer', () => {
  it(
    'wedged - a storage daemon that hangs is a call that took too long; when it goes on, so does the engagement',
    async () => {
      const before = stage.bytes('spare1');
      stage.callTimeout = '1s';
      await stage.up();
      await eventually('spare1 can reach its volume', async () => {
        const { hosts } = await stage.json<StatusView>('status');
        return hosts.find(({ name }) => name === 'spare1')?.volume.attached;
      });
      const daemon = [...commandsWith(stage.folder)].find(([, [program]]) => program?.endsWith('/qemu-storage-daemon'));
      const pid = present(daemon, 'a storage daemon')[0];
      await freeze(pid, true);
      try {
        await clone('spare1');
        const error = await eventually('it is told', async () => (await stage.engagement('wiki-1'))?.error);
        expect(error).toMatchObject({
          ...{ code: 'CALL_TIMEOUT', phase: 'fence', message: 'detaching spare1 took longer than 1 s' },
          remedy: expect.stringContaining('timeouts.call'),
        });
        expect(stage.bytes('spare1').equals(before)).toBe(true);
      } finally {
        await freeze(pid, false);
      }
      const phase = async () => (await stage.engagement('wiki-1'))?.stages.map((one) => one.phase);
      await eventually('it goes on', async () => (await phase())?.includes('fence'));
    },
    CASE_MS,
  );
});

describe('a step that ends the controller', () => {
  it(
    'wedged - on the way up it is given up with the step and its tries, and the spare is free again',
    async () => {
      const before = stage.bytes('spare1');
      stage.faults(['kills', PRESERVE]);
      expect(await stage.up()).toBe(true);
      await clone('spare1');
      await eventually('it dies', () => !stage.running);
      const failed = async () => (await stage.engagement('wiki-1'))?.state === 'failed';
      expect(await stage.upUntil('the engagement fails', failed, 8)).toBeLessThanOrEqual(5);
      expect(stage.struck).toBe(5);
      const view = await stage.engagement('wiki-1');
      expect(view).toMatchObject({ phase: 'preserve', error: { code: 'TRIES_EXHAUSTED', phase: 'preserve' } });
      expect(view?.error?.message).toMatch(/^preserve was begun 5 times; the controller ended 5 times while/);
      stage.faults();
      await eventually('spare1 is free', async () => {
        const { hosts, services } = await stage.json<StatusView>('status');
        const spare = hosts.find(({ name }) => name === 'spare1');
        return spare?.role === 'spare' && spare.volume.content === 'own' && services[0]?.engagements.length === 0;
      });
      expect(stage.bytes('spare1').equals(before)).toBe(true);
      expect(stage.running).toBe(true);
    },
    CASE_MS,
  );

  it(
    'wedged - on the way down it waits for somebody; by force it is left, kept out of every pool, and later done after all',
    async () => {
      const before = stage.bytes('spare1');
      stage.faults(['kills', RESTORE]);
      await stage.up();
      // What it copies has no file system: it fails at its identity, and is to be restored.
      await clone('spare1');
      const held = async () => (await stage.engagement('wiki-1'))?.error?.code === 'TRIES_EXHAUSTED';
      await stage.upUntil('the restore is held', held, 8);
      expect(stage.struck).toBe(5);
      expect((await stage.engagement('wiki-1'))?.error).toMatchObject({ phase: 'restore' });
      // It serves everybody else.
      await clone('spare2');
      await eventually('another engagement ends', async () => (await stage.engagement('wiki-2'))?.state === 'failed');

      const asked = await stage.understudy('dismiss', 'spare1', '--force', '--json');
      expect(asked.status).not.toBe(0);
      expect(asked.stderr).toMatch(
        /restore: puts the own data of spare1 back[\s\S]*restore: if it fails, its own data/,
      );
      expect((await stage.engagement('wiki-1'))?.left).toEqual([]);
      const forced = await stage.json<{ engagement: string }>('dismiss', 'spare1', '--force', '--yes');
      expect(forced).toEqual({ engagement: 'wiki-1' });
      await eventually('it is over', async () => (await stage.engagement('wiki-1'))?.left.length === 2);
      expect((await stage.engagement('wiki-1'))?.left).toEqual(['restore', 'release']);
      expect(stage.running).toBe(true);
      const refused = await stage.understudy('clone', 'web1', '--to', 'spare1');
      expect(refused.stderr).toMatch(/wiki-1 was dismissed by force without restore, release/);

      stage.faults();
      await stage.json('dismiss', 'spare1');
      await eventually('its own data is back', () => stage.bytes('spare1').equals(before));
      await eventually('spare1 is free', async () => {
        const { hosts } = await stage.json<StatusView>('status');
        return hosts.find(({ name }) => name === 'spare1')?.keptOut === null;
      });
    },
    CASE_MS,
  );

  it(
    'wedged - an error that nobody caught fails its engagement, is logged once with its stack, and ends nothing',
    async () => {
      stage.faults(['throws', PRESERVE]);
      await stage.up('--log-format', 'text');
      await clone('spare1');
      await eventually('it fails', async () => (await stage.engagement('wiki-1'))?.state === 'failed');
      expect((await stage.engagement('wiki-1'))?.error).toMatchObject({ code: 'INTERNAL', phase: 'preserve' });
      expect(stage.running).toBe(true);
      expect(stage.log.match(/engagement\/wiki-1: poison\n {4}TypeError: poison\n {8}at /g)).toHaveLength(1);
      await eventually(
        'it is over',
        async () => (await stage.json<StatusView>('status')).services[0]?.engagements.length === 0,
      );
    },
    CASE_MS,
  );

  it(
    'wedged - an assertion of the copy engine is told as a defect with where it was, not as a fault of a disk',
    async () => {
      stage.faults(['asserts', 'any']);
      await stage.up();
      await clone('spare1');
      await eventually('it fails', async () => (await stage.engagement('wiki-1'))?.state === 'failed');
      const { error } = (await stage.engagement('wiki-1')) ?? {};
      expect(error).toMatchObject({ code: 'INTERNAL', phase: 'preserve' });
      expect(error?.message).toMatch(/^a piece is where it cannot be \(at .*\)/);
      expect(error?.remedy).toMatch(/^this is a defect of understudy: report it with this message/);
      expect(stage.log).toContain('"code":"INTERNAL"');
    },
    CASE_MS,
  );

  it(
    'wedged - memory that cannot be had ends the process, as what it does next could be wrong',
    async () => {
      stage.faults(['memory', PRESERVE]);
      await stage.up();
      await clone('spare1');
      await eventually('it ends', () => !stage.running);
      expect(stage.exit.code).toBe(EXIT_INTERNAL);
      expect(stage.log).toContain('Array buffer allocation failed');
    },
    CASE_MS,
  );
});

/** Of each kind that cannot be used, after an engagement that has ended. */
function poisonStore(): void {
  const file = new PoisonedFile(stage.storePath);
  const ended = JSON.parse(file.text('engagement/wiki-1')) as Record<string, unknown>;
  file.add('engagement/wiki-9', JSON.stringify({ ...ended, name: 'wiki-9', ended: false, phase: 'rehearse' }));
  file.add('engagement/wiki-10', '{"understudy": spare1');
  file.add('plan/wiki', 'null');
  file.write('counter/engagement', '"many"');
  file.write('storage/volume/spare2', '{"content":{"kind":"elsewhere"}}');
  file.write('storage/daemon/storage', '[]');
  file.poison(file.keys().find((key) => key.startsWith('event/')) ?? '', seededRandom(1));
  file.close();
}

/** What a volume holds is not guessed: its stamp says it, once somebody has agreed. */
async function recoverWhatStampsSay(): Promise<void> {
  await stage.up();
  expect((await stage.json<StatusAnswer>('status')).warnings.join()).toMatch(/no record of spare2.*understudy recover/);
  await stage.end();
  const recovered = await stage.understudy('recover', '--yes');
  expect(recovered).toMatchObject({ status: 0 });
}

describe('a store full of records that cannot be used', () => {
  it(
    'wedged - a start with it comes up; status and doctor name each and how to get rid of it; the commands do',
    async () => {
      await stage.up();
      await clone('spare1');
      await eventually('it is over', async () => (await stage.engagement('wiki-1'))?.state === 'failed');
      await eventually(
        'spare1 is free',
        async () => (await stage.json<StatusView>('status')).services[0]?.engagements.length === 0,
      );
      await stage.end('SIGKILL');
      poisonStore();

      expect(await stage.up()).toBe(true);
      const status = await eventually('all are found', async () => {
        const view = await stage.json<StatusView>('status');
        return view.unusableRecordsTotal >= 7 && view;
      });
      const keys = status.unusableRecords.map(({ key }) => key);
      const known = [
        'counter/engagement',
        'engagement/wiki-10',
        'engagement/wiki-9',
        'plan/wiki',
        'storage/daemon/storage',
      ];
      expect(keys.filter((key) => !key.startsWith('event/')).toSorted()).toEqual([...known, 'storage/volume/spare2']);
      expect(status.hosts.find(({ name }) => name === 'spare2')?.volume.content).toBe('unknown');
      expect(status.hosts.find(({ name }) => name === 'web1')).toMatchObject({
        keptOut: null,
        volume: { attached: true },
      });
      expect(status.hosts.find(({ name }) => name === 'spare1')?.keptOut).toMatch(/engagement\/wiki-/);
      const { stdout: text } = await stage.understudy('status');
      expect(text).toContain('understudy dismiss wiki-9 --force');
      expect(text).toContain('understudy records plan/wiki --remove');
      expect(text).toMatch(/record storage\/volume\/spare2 cannot be used: .*\n.*understudy recover/);
      const doctor = JSON.parse((await stage.understudy('doctor', '--json')).stdout) as { checks: readonly Check[] };
      const found = doctor.checks.filter(({ check }) => check === 'record').map(({ subject }) => subject);
      expect(found.toSorted()).toEqual(keys.toSorted());
      const volume = doctor.checks.find(({ subject }) => subject === 'storage/volume/spare2');
      expect(volume?.remedy).toMatch(/^end understudy up, and run understudy recover/);

      const shown = await stage.understudy('records', 'plan/wiki', '--remove');
      expect(shown.status).not.toBe(0);
      expect(shown.stderr).toMatch(/plan\/wiki: .*null/);
      const plain = await stage.understudy('dismiss', 'wiki-9');
      expect(plain.stderr).toMatch(/RECORD_UNUSABLE/);
      for (const key of keys) {
        const name = key.startsWith('engagement/') ? key.slice('engagement/'.length) : null;
        await (name === null
          ? stage.json('records', key, '--remove', '--yes')
          : stage.json('dismiss', name, '--force', '--yes'));
      }
      await stage.end();
      await recoverWhatStampsSay();
      await stage.up();
      const after = await stage.json<StatusView>('status');
      expect([after.unusableRecordsTotal, after.hosts.map(({ keptOut }) => keptOut)]).toEqual([0, [null, null, null]]);
      // Names are not used twice, though the counter was lost.
      await clone('spare1');
      await eventually('a new engagement', async () => (await stage.engagement('wiki-2')) !== undefined);
    },
    CASE_MS,
  );
});
