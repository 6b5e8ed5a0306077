// understudy.yaml read again by a controller that runs: by the command and by SIGHUP, all of it or nothing.
import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { ReloadView } from '../../src/api/mod.ts';
import { errorRegistry } from '../../src/base/mod.ts';
import type { AuditEntry, StatusView } from '../../src/controller/mod.ts';
import { patience } from '../rig/patience.ts';
import { UpStage } from '../rig/up-stage.ts';
import { eventually } from '../rig/wait.ts';
import { documentedJson, shapeDifferences } from '../support/json-shape.ts';

const CASE_MS = patience(180_000);

let stage: UpStage;
let original: string;

beforeEach(async () => {
  stage = await UpStage.make();
  original = readFileSync(stage.file, 'utf8');
});

afterEach(() => stage.close());

type Edit = readonly [from: string, to: string];

function edit(...edits: readonly Edit[]): void {
  let text = original;
  for (const [from, to] of edits) {
    if (!text.includes(from)) throw new Error(`understudy.yaml has no ${from}`);
    text = text.replace(from, to);
  }
  writeFileSync(stage.file, text);
}

const SPARE3: readonly Edit[] = [
  ['hosts:\n', '  spare3: { path: spare3.img }\nhosts:\n'],
  [
    'services:\n',
    `  spare3:
    volume: spare3
    interfaces: [{ name: eth0, mac: "52:54:00:90:00:13", addresses: [10.88.0.13/24] }]
    power: { driver: qemu, settings: { interfaces: [] } }
services:
`,
  ],
  ['pool: [spare1, spare2]', 'pool: [spare1, spare2, spare3]'],
];

async function status(): Promise<StatusView> {
  return stage.json<StatusView>('status');
}

async function mode(): Promise<string | undefined> {
  return (await status()).services[0]?.mode;
}

/** Exit status and what it says on standard error. */
async function refusal(
  ...args: readonly string[]
): Promise<{ readonly status: number | null; readonly stderr: string }> {
  const { status: exit, stdout, stderr } = await stage.understudy('reload', ...args);
  expect(stdout).toBe('');
  return { status: exit, stderr };
}

it(
  'reload - takes modes, objectives, and hosts with volumes that come and go, and shows what has changed',
  async () => {
    await stage.up();
    const before = (await status()).controller;
    writeFileSync(stage.volume('spare3'), randomBytes(1024 * 1024));
    edit(...SPARE3, ['mode: advise', 'mode: approve'], ['below: 400', 'below: 300']);

    const dry = await stage.json<ReloadView>('reload', '--dry-run');
    expect(dry).toMatchObject({ file: stage.file, applied: false });
    expect(await mode()).toBe('advise');
    const view = await stage.json<ReloadView>('reload');
    expect(shapeDifferences(documentedJson('reload'), view)).toEqual([]);
    expect(view.changes).toEqual(dry.changes);
    expect(view.changes.map(({ path }) => path)).toEqual([
      'volumes.spare3',
      'hosts.spare3',
      'services.wiki.pool',
      'services.wiki.mode',
      'services.wiki.objective.below',
    ]);
    expect(view.changes[3]).toEqual({ path: 'services.wiki.mode', from: '"advise"', to: '"approve"' });
    expect(await mode()).toBe('approve');
    await eventually('spare3 has its volume', async () => {
      const host = (await status()).hosts.find(({ name }) => name === 'spare3');
      return host?.role === 'spare' && host.volume.attached && host.volume.content === 'own';
    });
    expect((await stage.understudy('power', 'spare3', 'off')).stdout).toBe('spare3 is off\n');

    // The same controller, with all that it knew.
    expect((await status()).controller).toEqual(before);
    expect((await stage.understudy('reload')).stdout).toBe(`${stage.file}: nothing has changed\n`);

    // Off, so that it may give its volume back.
    edit();
    const { stdout } = await stage.understudy('reload');
    expect(stdout).toContain('hosts.spare3: removed\n');
    expect(stdout).toContain('services.wiki.mode: "approve" -> "advise"\n');
    expect((await status()).hosts.map(({ name }) => name)).toEqual(['web1', 'spare1', 'spare2']);
    expect((await stage.understudy('power', 'spare3', 'off')).status).toBe(errorRegistry.HOST_UNKNOWN.exit);
  },
  CASE_MS,
);

it(
  'reload - SIGHUP does the same, and what is wrong with the file is in the log and changes nothing',
  async () => {
    await stage.up();
    edit(['mode: advise', 'mode: approve']);
    stage.signal('SIGHUP');
    await eventually('it is taken', async () => (await mode()) === 'approve');
    expect(stage.log).toContain('understudy.yaml was read again: services.wiki.mode: ');

    edit(['mode: advise', 'mode: automatic'], ['port: 80', 'port: eighty']);
    stage.signal('SIGHUP');
    await eventually('it is refused', () => stage.log.includes('CONFIG_INVALID'));
    expect(stage.log).toContain('is not taken, and nothing has changed');
    expect(await refusal()).toMatchObject({ status: errorRegistry.CONFIG_INVALID.exit });
    expect(await mode()).toBe('approve');
    expect(stage.running).toBe(true);
  },
  CASE_MS,
);

it(
  'reload - refuses by name what takes a restart, and volumes of hosts that are on',
  async () => {
    await stage.up();
    const port: Edit = ['port: 7780', 'port: 7781'];
    const limit: Edit = ['volumes:\n', 'storage: { listen: 127.0.0.1:10809 }\nvolumes:\n'];
    edit(port, limit, ['mode: advise', 'mode: approve']);
    const { status: exit, stderr } = await refusal();
    expect(exit).toBe(errorRegistry.RELOAD_REFUSED.exit);
    expect(stderr).toContain('api.port: 7780 -> 7781: this takes a restart');
    expect(stderr).toContain('storage: added: this takes a restart');
    expect(await mode()).toBe('advise');

    edit(['state: state', 'state: other']);
    stage.signal('SIGHUP');
    await eventually('the state is refused', () => stage.log.includes('state: \\"state\\" -> \\"other\\"'));
    // The command looks for the controller where the file says that it is.
    expect((await refusal()).stderr).toContain('if "state" or "tls" of the file was changed, put it back');

    edit();
    expect((await stage.understudy('power', 'spare2', 'on')).stdout).toBe('spare2 is on\n');
    writeFileSync(stage.volume('other'), randomBytes(1024 * 1024));
    edit(['spare2: { path: spare2.img }', 'spare2: { path: other.img }']);
    expect((await refusal()).stderr).toContain('volumes.spare2: spare2 has it and is on; switch spare2 off first');
    expect((await stage.understudy('power', 'spare2', 'off')).stdout).toBe('spare2 is off\n');
    expect((await stage.understudy('reload')).status).toBe(0);
    await eventually('it has the other one', async () => {
      const volume = (await status()).hosts.find(({ name }) => name === 'spare2')?.volume;
      return volume?.attached === true && volume.problem === null;
    });
  },
  CASE_MS,
);

it(
  'reload - hosts, volumes and director of an engagement stay as they are, and the rest may change meanwhile',
  async () => {
    await stage.up();
    // Nothing can be copied, so the engagement stays.
    const daemon = stage.storageDaemon;
    process.kill(daemon, 'SIGSTOP');
    void stage.understudy('clone', 'web1', '--to', 'spare1').catch(() => undefined);
    await eventually('it has begun', async () => (await status()).engagements.length > 0);

    const changes: readonly (readonly [string, Edit])[] = [
      ['volumes.spare1', ['spare1: { path: spare1.img }', 'spare1: { path: other.img }']],
      ['volumes.web1', ['web1: { path: web1.img }', 'web1: { path: other.img }']],
      ['hosts.spare1', ['52:54:00:90:00:11', '52:54:00:90:00:99']],
      ['hosts.web1', ['52:54:00:90:00:10', '52:54:00:90:00:99']],
      ['services.wiki.pool', ['pool: [spare1, spare2]', 'pool: [spare2]']],
      ['services.wiki.director', ['backend: wiki,', 'backend: other,']],
    ];
    for (const [name, change] of changes) {
      edit(change, ['mode: advise', 'mode: approve']);
      const { status: exit, stderr } = await refusal();
      expect(exit, name).toBe(errorRegistry.RELOAD_REFUSED.exit);
      expect(stderr).toMatch(new RegExp(`${name.replaceAll('.', '\\.')}: .*it is in the engagement wiki-1`));
    }
    expect(await mode()).toBe('advise');
    edit(['mode: advise', 'mode: approve'], ['52:54:00:90:00:12', '52:54:00:90:00:98']);
    expect((await stage.understudy('reload')).status).toBe(0);
    expect(await mode()).toBe('approve');

    process.kill(daemon, 'SIGCONT');
    await stage.understudy('dismiss', 'spare1');
    await eventually('it goes its way', async () => (await status()).services[0]?.engagements.length === 0);
    const entries = JSON.parse((await stage.understudy('audit', '--json')).stdout) as readonly AuditEntry[];
    expect(entries.filter(({ action, type }) => action === 'POST /v1/reload' && type === 'outcome')).toHaveLength(
      changes.length,
    );
  },
  CASE_MS,
);
