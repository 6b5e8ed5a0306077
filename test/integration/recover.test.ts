// `understudy recover`, `backup` and `restore` as a person uses them, with the real `understudy up`, its storage daemon
// and its store.
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { errorRegistry } from '../../src/base/mod.ts';
import type { Check, Recovered } from '../../src/cli/mod.ts';
import type { StatusView } from '../../src/controller/mod.ts';
import { daemonsOf } from '../../src/storage/mod.ts';
import { identityOf, machinesWith } from '../rig/machines.ts';
import { patience } from '../rig/patience.ts';
import { UpStage } from '../rig/up-stage.ts';
import { eventually } from '../rig/wait.ts';

let stage: UpStage;

beforeEach(async () => {
  stage = await UpStage.make();
});

afterEach(() => stage.close());

const state = (): string => join(stage.folder, 'state');
const storage = (): string => join(stage.folder, 'state-storage');

async function expectAdvice(): Promise<void> {
  const { services, warnings } = await stage.json<StatusView & { warnings: readonly string[] }>('status');
  expect(services.map(({ mode }) => mode)).toEqual(['advise']);
  expect(warnings.join()).toMatch(/understudy recover/);
  const refused = await stage.understudy('clone', 'web1', '--to', 'spare1');
  expect(refused.stderr).toMatch(/\(STATE_LOST\)/);
}

describe('understudy recover', () => {
  it(
    'recover - a state folder that is removed under the controller ends it at once; the way back leaves one daemon',
    async () => {
      expect(await stage.up()).toBe(true);
      const before = ['web1', 'spare1'].map((name) => stage.bytes(name));
      rmSync(state(), { recursive: true });
      await eventually('it has ended', () => !stage.running);
      expect(stage.exit.code).toBe(errorRegistry.STATE_LOST.exit);
      expect(stage.log).toMatch(/was removed while the controller ran.*understudy recover.*\(STATE_LOST\)/);
      // Also without a recovery first: it advises, and has ended the daemon that could not be reached any more.
      expect(await stage.up()).toBe(true);
      await expectAdvice();
      expect(daemonsOf(join(state(), 'node')).length).toBe(1);
      const running = await stage.understudy('recover', '--yes');
      expect(running.status).toBe(errorRegistry.CONTROLLER_RUNNING.exit);
      const { checks } = JSON.parse((await stage.understudy('doctor', '--json')).stdout) as {
        checks: readonly Check[];
      };
      expect(checks.find(({ check }) => check === 'stamps')).toMatchObject({ state: 'failed' });
      await stage.end();
      const asked = await stage.understudy('recover');
      expect(asked).toMatchObject({ status: errorRegistry.USAGE.exit });
      expect(asked.stderr).toMatch(/spare1: its own data.*--yes/s);
      const { unclear, engagements } = await stage.json<Recovered>('recover', '--yes');
      expect({ unclear, engagements }).toEqual({ unclear: [], engagements: [] });
      expect(await stage.up()).toBe(true);
      expect((await stage.json<{ warnings: readonly string[] }>('status')).warnings.join()).not.toMatch(/recover/);
      expect(daemonsOf(join(state(), 'node')).length).toBe(1);
      expect(['web1', 'spare1'].map((name) => stage.bytes(name))).toEqual(before);
    },
    patience(120_000),
  );

  it(
    'recover - a store that is exchanged under the controller ends it; without stamps somebody has to say what is there',
    async () => {
      expect(await stage.up()).toBe(true);
      renameSync(stage.storePath, `${stage.storePath}.away`);
      writeFileSync(stage.storePath, '');
      await eventually('it has ended', () => !stage.running);
      expect(stage.log).toMatch(/was replaced by another file.*\(STATE_LOST\)/);
      rmSync(join(storage(), 'stamps'), { recursive: true });
      mkdirSync(join(storage(), 'wiki-3'));
      writeFileSync(join(storage(), 'wiki-3/spare1.raw'), 'x'.repeat(stage.bytes('spare1').length));
      const found = await stage.json<Recovered>('recover', '--yes');
      expect(found.unclear).toEqual([expect.stringMatching(/^spare1: .* a backup by wiki-3; .*--keep spare1/)]);
      expect(await stage.up()).toBe(true);
      await expectAdvice();
      await stage.end();
      const own = stage.bytes('spare1');
      expect(await stage.json<Recovered>('recover', '--yes', '--keep', 'spare1')).toMatchObject({ unclear: [] });
      expect(await stage.up()).toBe(true);
      expect(stage.bytes('spare1').equals(own)).toBe(true);
      expect(existsSync(join(storage(), 'wiki-3/spare1.raw'))).toBe(true);
      // The number is not given again.
      const { stdout } = await stage.understudy('clone', 'web1', '--to', 'spare1', '--json');
      expect((JSON.parse(stdout) as { engagement: string }).engagement).toBe('wiki-4');
    },
    patience(120_000),
  );

  it(
    'recover - a store that is exchanged while the controller starts ends it too',
    async () => {
      const answered = stage.up();
      await eventually('the storage node starts', () => existsSync(join(state(), 'node/node.lock')));
      renameSync(stage.storePath, `${stage.storePath}.away`);
      writeFileSync(stage.storePath, '');
      await answered;
      await eventually('it has ended', () => !stage.running);
      expect(stage.exit.code).toBe(errorRegistry.STATE_LOST.exit);
    },
    patience(60_000),
  );

  it(
    'recover - a machine runs on while the state is lost, is in an unknown power state, and can be switched off',
    async () => {
      expect(await stage.up()).toBe(true);
      expect((await stage.understudy('power', 'spare1', 'on')).stdout).toBe('spare1 is on\n');
      const machine = machinesWith(stage.folder).map(identityOf);
      expect(machine.length).toBe(1);
      rmSync(state(), { recursive: true });
      await eventually('it has ended', () => !stage.running);
      expect(await stage.json<Recovered>('recover', '--yes')).toMatchObject({ unclear: [], engagements: [] });
      expect(await stage.up()).toBe(true);
      expect(machinesWith(stage.folder).map(identityOf)).toEqual(machine);
      const powerOf = async (): Promise<unknown> => {
        const { hosts } = await stage.json<StatusView>('status');
        return hosts.find(({ name }) => name === 'spare1')?.power;
      };
      await eventually('its power is not known', async () => (await powerOf()) === 'unknown');
      // Nobody knows what it would go on writing.
      expect((await stage.understudy('clone', 'web1', '--to', 'spare1')).status).not.toBe(0);
      expect(machinesWith(stage.folder).map(identityOf)).toEqual(machine);
      expect((await stage.understudy('power', 'spare1', 'off')).stdout).toBe('spare1 is off\n');
      expect(machinesWith(stage.folder)).toEqual([]);
    },
    patience(120_000),
  );

  it(
    'recover - a storage folder of an earlier version is moved out of the state folder, and not over another one',
    async () => {
      mkdirSync(join(state(), 'storage/wiki-1'), { recursive: true });
      writeFileSync(join(state(), 'storage/wiki-1/other.raw'), 'a disk');
      mkdirSync(join(storage(), 'wiki-1'), { recursive: true });
      const { stderr } = await stage.understudy('up');
      expect(stderr).toMatch(/wiki-1 exists; move them by hand: mv .*\(STORAGE_FAILED\)/);
      rmSync(join(storage()), { recursive: true });
      expect(await stage.up()).toBe(true);
      expect(readFileSync(join(storage(), 'wiki-1/other.raw'), 'utf8')).toBe('a disk');
      expect(existsSync(join(state(), 'storage'))).toBe(false);
    },
    patience(60_000),
  );
});

describe('understudy backup', () => {
  it(
    'backup - of a running controller, and restored after everything was lost: through recover',
    async () => {
      const archive = join(stage.folder, 'state.tar');
      const tokens = readFileSync(join(stage.folder, 'secrets/tokens'), 'utf8');
      expect(await stage.up()).toBe(true);
      const made = await stage.json<{ files: readonly string[] }>('backup', archive);
      expect(made.files).toEqual(['store.db', 'tokens']);
      expect(statSync(archive).mode & 0o777).toBe(0o600);
      expect((await stage.understudy('backup', archive)).stderr).toMatch(/exists; .*\(TARGET_NOT_CONFIRMED\)/);
      expect((await stage.understudy('restore', archive, '--yes')).stderr).toMatch(/\(CONTROLLER_RUNNING\)/);
      await stage.end();
      rmSync(state(), { recursive: true });
      writeFileSync(join(stage.folder, 'secrets/tokens'), 'viewer bob fedcba9876543210\n', { mode: 0o600 });
      const half = readFileSync(archive).subarray(0, 4096);
      writeFileSync(join(stage.folder, 'half.tar'), half);
      const damaged = await stage.understudy('restore', join(stage.folder, 'half.tar'), '--yes');
      expect(damaged.stderr).toMatch(/\(SOURCE_CORRUPT\)/);
      const restored = await stage.json<Recovered>('restore', archive, '--yes');
      expect(restored.plan[0]).toBe('the store agrees with every volume: it stays');
      expect(readFileSync(join(stage.folder, 'secrets/tokens'), 'utf8')).toBe(tokens);
      expect(readdirSync(join(stage.folder, 'secrets')).some((name) => name.includes('.before-restore-'))).toBe(true);
      expect(await stage.up()).toBe(true);
      expect((await stage.json<{ warnings: readonly string[] }>('status')).warnings.join()).not.toMatch(/recover/);
    },
    patience(120_000),
  );

  it(
    'backup - certificates and the tokens of agents come back as they were, keys for nobody else to read',
    async () => {
      const pki = join(stage.folder, 'pki');
      const authority = ['--folder', pki];
      await stage.pki('init', ...authority);
      await stage.pki('issue', 'node', 'san-a', '--address', '127.0.0.1', ...authority);
      await stage.pki('issue', 'host', 'web1', ...authority);
      await stage.pki('revoke', 'host-web1', ...authority);
      writeFileSync(join(stage.folder, 'secrets/agent-web1'), 'agent-of-web1-0123456789\n', { mode: 0o600 });
      const file = readFileSync(stage.file, 'utf8');
      const withAgent = file.replace('volume: web1\n', 'volume: web1\n    agentTokenFile: secrets/agent-web1\n');
      writeFileSync(stage.file, `${withAgent}tls: { folder: pki, name: san-a }\n`);
      expect(await stage.up()).toBe(true);
      const archive = join(stage.folder, 'state.tar');
      const { files } = await stage.json<{ files: readonly string[] }>('backup', archive);
      expect(files).toEqual(expect.arrayContaining(['agents/web1', 'pki/ca.key', 'pki/revoked', 'pki/node-san-a.key']));
      await stage.end();
      const held = (): unknown[] =>
        [...readdirSync(pki).map((name) => join(pki, name)), join(stage.folder, 'secrets/agent-web1')].map((path) => {
          return [path, statSync(path).mode & 0o777, readFileSync(path, 'utf8')];
        });
      const before = held();
      for (const lost of [pki, state(), join(stage.folder, 'secrets/agent-web1')]) rmSync(lost, { recursive: true });
      await stage.json<Recovered>('restore', archive, '--yes');
      expect(held()).toEqual(before);
      expect(statSync(pki).mode & 0o777).toBe(0o700);
      // Both sides are checked again, with what came back.
      expect(await stage.up()).toBe(true);
      expect((await stage.json<StatusView>('status')).hosts.map(({ name }) => name)).toContain('web1');
    },
    patience(120_000),
  );
});
