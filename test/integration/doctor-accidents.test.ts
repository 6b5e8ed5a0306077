// `understudy doctor` after accidents: records lost or damaged, backups and daemons left behind, settings that do not
// fit each other, and a spare that HAProxy has already.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { examineBackups } from '../../bin/doctor/backups.ts';
import { examineHosts } from '../../bin/doctor/hosts.ts';
import { examineRecords } from '../../bin/doctor/records.ts';
import { examineServices } from '../../bin/doctor/services.ts';
import { examineUsers } from '../../bin/doctor/users.ts';
import { driverSchemas } from '../../bin/drivers.ts';
import { requireTool, runTool } from '../../src/base/mod.ts';
import type { Check } from '../../src/cli/mod.ts';
import { type Configuration, loadConfiguration } from '../../src/config/mod.ts';
import { openSqliteStore } from '../../src/store/mod.ts';
import { eventually } from '../rig/wait.ts';
import { type HaproxyStage, onHaproxy } from '../support/haproxy-stage.ts';

const MIB = 1024 * 1024;

let folder: string;
/** SQLite keeps its files open in this process: each store has a folder of its own. */
let state: string;
const undo: (() => Promise<unknown> | unknown)[] = [];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'ustd-'));
  for (const name of ['secrets', 'backups']) mkdirSync(join(folder, name));
  freshState();
  writeFileSync(join(folder, 'secrets/tokens'), 'operator alice 0123456789abcdef\n', { mode: 0o600 });
  for (const name of ['web1', 'spare1']) truncateSync(open(`${name}.img`), MIB);
});

afterEach(async () => {
  for (const step of undo.splice(0).reverse()) await step();
  rmSync(folder, { recursive: true, force: true });
});

function freshState(): void {
  state = mkdtempSync(join(folder, 'state-'));
  mkdirSync(join(state, 'node'));
}

function path(name: string): string {
  return join(folder, name);
}

function open(name: string): string {
  writeFileSync(path(name), '');
  return path(name);
}

interface Settings {
  readonly socket?: string;
  readonly card?: string;
}

type Look = (configuration: Configuration, signal: AbortSignal) => AsyncIterable<Check>;

/** What one part of doctor says of an installation whose spare has this card in its power settings. */
async function checksOf(look: Look, settings: Settings = {}) {
  const { socket = 'haproxy.sock', card = '52:54:00:90:00:21' } = settings;
  const file = path('understudy.yaml');
  const host = (name: string, number: number, mac: string): string => `  ${name}:
    volume: ${name}
    interfaces: [{ name: eth0, mac: "52:54:00:90:00:${number}", addresses: [10.88.0.${number}/24] }]
    power: { driver: qemu, settings: { interfaces: [{ tap: tap-${name}, mac: "${mac}" }] } }
`;
  const spreader = `{ driver: haproxy, settings: { socket: ${socket}, backend: wiki, readsBackend: wiki-reads } }`;
  writeFileSync(
    file,
    `state: ${state}
api: { host: 127.0.0.1, port: 0, tokensFile: secrets/tokens }
storage: { folder: backups }
volumes: { web1: { path: web1.img }, spare1: { path: spare1.img } }
hosts:
${host('web1', 11, '52:54:00:90:00:11')}${host('spare1', 21, card)}services:
  wiki:
    lead: web1
    pool: [spare1]
    port: 80
    traffic: reads
    check: { path: / }
    director: ${spreader}
    objective: { signal: probe.milliseconds, below: 400 }
`,
  );
  const configuration = await loadConfiguration(file, driverSchemas);
  const checks: Check[] = [];
  for await (const check of look(configuration, new AbortController().signal)) checks.push(check);
  return (check: string, subject = ''): Check => {
    const found = checks.find((one) => one.check === check && one.subject.startsWith(subject));
    if (found === undefined) throw new Error(`no check ${check} of ${subject} in ${JSON.stringify(checks)}`);
    return found;
  };
}

/** A store as a controller leaves it, made elsewhere: SQLite keeps its files open in this process. */
async function storeWith(records: Readonly<Record<string, object>>): Promise<void> {
  const elsewhere = mkdtempSync(join(tmpdir(), 'ustd-'));
  undo.push(() => rmSync(elsewhere, { recursive: true, force: true }));
  const store = await openSqliteStore(join(elsewhere, 'store.db'));
  for (const [key, value] of Object.entries(records)) await store.put(key, value, 0);
  await store.close();
  const { DatabaseSync } = await import('@photostructure/sqlite');
  const database = new DatabaseSync(join(elsewhere, 'store.db'));
  database.exec('PRAGMA wal_checkpoint(TRUNCATE)');
  database.close();
  freshState();
  copyFileSync(join(elsewhere, 'store.db'), join(state, 'store.db'));
}

async function started(program: string, debianPackage: string, args: readonly string[], fds: readonly number[] = []) {
  const stdio: ('ignore' | number)[] = ['ignore', 'ignore', 'ignore', ...fds];
  const child: ChildProcess = spawn(requireTool(program, debianPackage), [...args], { stdio });
  await once(child, 'spawn');
  undo.push(async () => {
    const gone = once(child, 'exit');
    child.kill('SIGKILL');
    await gone;
  });
  return child.pid ?? 0;
}

/** A storage daemon that has a volume, as that of an installation has. */
async function daemon(volume: string, fds: readonly number[] = []): Promise<number> {
  const pid = await started(
    'qemu-storage-daemon',
    'qemu-system-common',
    ['--blockdev', `driver=file,node-name=disk,filename=${path(volume)},locking=off`],
    fds,
  );
  const name = path(volume);
  await eventually('it has the volume', async () => {
    const { stdout } = await runTool('/bin/sh', ['-c', `ls -l /proc/${pid}/fd`]);
    return stdout.includes(name);
  });
  return pid;
}

describe('doctor after accidents', () => {
  it('doctor - a store that is whole, empty, torn, or not a store, and none of them changed', async () => {
    await storeWith({ 'plan/wiki': { odd: true } });
    expect((await checksOf(examineRecords))('records').detail).toBe('1 records cannot be used');
    const whole = readFileSync(join(state, 'store.db'));
    for (const [content, detail] of [
      [Buffer.alloc(0), /^is damaged: it is empty$/],
      [Buffer.alloc(64 * 1024, 'x'), /not a database/],
      [Buffer.concat([whole.subarray(0, 4096), Buffer.alloc(whole.length - 4096, 7)]), /malformed|damaged/],
    ] as const) {
      freshState();
      writeFileSync(join(state, 'store.db'), content);
      const found = (await checksOf(examineRecords))('records');
      expect([found.state, found.detail, found.remedy]).toEqual([
        'failed',
        expect.stringMatching(detail),
        expect.any(String),
      ]);
      expect(readFileSync(join(state, 'store.db')).equals(content)).toBe(true);
    }
  });

  it('doctor - backups that no record knows, with and without a store', async () => {
    expect((await checksOf(examineBackups))('backups').detail).toBe('there are none');
    mkdirSync(path('backups/wiki-3'));
    writeFileSync(path('backups/wiki-3/spare1.raw'), 'all that is left');
    const orphan = { state: 'failed', detail: 'no record knows of wiki-3/spare1.raw' };
    expect((await checksOf(examineBackups))('backups')).toMatchObject(orphan);
    const backup = { engagement: 'wiki-2', takenAt: '2026-01-01T00:00:00.000Z', bytes: MIB, digest: '00' };
    const record = (engagement: string) => ({
      ...{ path: path('spare1.img'), sizeBytes: MIB, generation: 1, content: { kind: 'own' }, attachedTo: null },
      ...{ backups: [{ ...backup, engagement, digest: '0'.repeat(32) }], step: null },
    });
    await storeWith({ 'storage/volume/spare1': record('wiki-2') });
    expect((await checksOf(examineBackups))('backups')).toMatchObject(orphan);
    await storeWith({ 'storage/volume/spare1': record('wiki-3') });
    expect((await checksOf(examineBackups))('backups')).toMatchObject({
      state: 'ok',
      detail: '1, all of them recorded',
    });
  });

  it('doctor - one storage daemon, two of them, one of a state folder that was removed, and another program', async () => {
    expect((await checksOf(examineUsers))('daemon', 'storage').detail).toBe('no storage daemon runs here');
    const first = await daemon('web1.img');
    expect((await checksOf(examineUsers))('daemon', 'storage')).toMatchObject({
      state: 'ok',
      detail: expect.stringContaining(`${first}`),
    });
    const lock = openSync(join(state, 'node/daemon.lock'), 'w');
    const second = await daemon('web1.img', [lock]);
    rmSync(join(state, 'node/daemon.lock'));
    const reader = await started('tail', 'coreutils', ['-f', path('spare1.img')]);
    const find = await checksOf(examineUsers);
    expect(find('daemon', 'storage')).toMatchObject({
      ...{ state: 'failed', remedy: expect.stringContaining('end these daemons') },
    });
    const { detail } = find('daemon', 'storage');
    expect(detail).toMatch(/^2 storage daemons have the volumes/);
    expect(detail).toContain(`${first}`);
    expect(detail).toContain(`${second} (of a state folder that was removed)`);
    expect(find('daemon', 'spare1')).toMatchObject({
      state: 'failed',
      detail: `process ${reader} (tail) has spare1 open`,
    });
  });

  it('doctor - cards of a machine that are not those of its host', async () => {
    const find = await checksOf(examineHosts, { card: '52:54:00:90:00:22' });
    expect(find('cards', 'web1')).toMatchObject({ state: 'ok' });
    expect(find('cards', 'spare1')).toMatchObject({
      state: 'failed',
      detail: 'interfaces has 52:54:00:90:00:21, and power.settings has 52:54:00:90:00:22',
    });
    expect(find('network', 'spare1')).toMatchObject({
      ...{ state: 'warning', detail: expect.stringContaining('would not be noticed') },
    });
  });

  it('doctor - a spare that HAProxy has and no engagement, by its name or by its address', async () => {
    await onHaproxy(async (stage: HaproxyStage) => {
      const settings = { socket: stage.haproxy.admin };
      expect((await checksOf(examineServices, settings))('spares')).toMatchObject({ state: 'ok' });
      await stage.haproxy.ask('add server wiki-reads/spare1 10.88.0.99:80');
      const named = (await checksOf(examineServices, settings))('spares');
      expect(named).toMatchObject({ state: 'warning', detail: expect.stringContaining('a server spare1') });
      expect(named.remedy).toContain('set server wiki-reads/spare1 state maint');
      await stage.haproxy.ask('set server wiki-reads/spare1 state maint');
      await stage.haproxy.ask('del server wiki-reads/spare1');
      await stage.haproxy.ask('add server wiki/old 10.88.0.21:80');
      expect((await checksOf(examineServices, settings))('spares')).toMatchObject({
        ...{ state: 'failed', detail: expect.stringContaining('a server old at the address of spare1') },
      });
    });
    expect((await checksOf(examineServices))('spares')).toMatchObject({ state: 'warning' });
  });
});
