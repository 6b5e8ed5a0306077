// What only a store in a file can get right or wrong: real processes at once, deaths, power cuts, full disks, wrong files.
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { DatabaseSync } from '@photostructure/sqlite';
import { expect, test } from 'vitest';
import { errnoOf, present, seededRandom } from '../../src/base/mod.ts';
import { openSqliteStore, type Store } from '../../src/store/mod.ts';
import { stateOf } from '../rig/processes.ts';
import { onStage, type Stage } from '../rig/stage.ts';
import { eventually } from '../rig/wait.ts';
import { failure } from './store-bench.ts';
import { StoreUser } from './store-user.ts';
import { leftAfter } from './store-workload.ts';

const given = process.env.UNDERSTUDY_KILL_SEED;
const seed = given === undefined ? 20_261_125 : given === 'new' ? Date.now() % 1_000_000_000 : Number(given);

async function opened(stage: Stage, path: string): Promise<Store> {
  const store = await openSqliteStore(path);
  stage.defer(() => store.close());
  return store;
}

function user(stage: Stage, ...args: readonly (string | number)[]): StoreUser {
  const process = new StoreUser(stage.env, stage.path('store.db'), ...args);
  stage.defer(() => process.kill());
  return process;
}

function mounted(stage: Stage, name: string, ...args: readonly string[]): string {
  const folder = stage.path(name);
  mkdirSync(folder);
  stage.tool('mount', 'mount', [...args, folder]);
  stage.defer(() => {
    stage.tool('umount', 'mount', [folder]);
  });
  return folder;
}

/** How many steps are left in a store, all of them and in order: at least `least`, and `most`. */
async function stepsLeft(store: Store, workSeed: number, least: number, most: number): Promise<number> {
  const found = await store.list('work/');
  const text = JSON.stringify(found);
  for (let steps = least; steps <= most; steps += 1) {
    if (text === JSON.stringify(leftAfter(workSeed, steps))) return steps;
  }
  const shown = found.map(({ key, revision }) => `${key}@${revision}`).join(' ');
  throw new Error(`seed ${workSeed}: after ${least} to ${most} steps there is ${shown}`);
}

test('sqlite store - several processes that open one new file at once lose no change', () =>
  onStage(async (stage) => {
    const users = Array.from({ length: 4 }, () => user(stage, 'count', 'counter', 40));
    const numbers = (await Promise.all(users.map((one) => one.good()))).flat().map(Number);
    expect(numbers.sort((a, b) => a - b)).toEqual(Array.from({ length: 160 }, (_, index) => index + 1));
    expect(await (await opened(stage, stage.path('store.db'))).get('counter')).toMatchObject({
      value: 160,
      revision: 160,
    });
  }));

test('sqlite store - a list is of one moment, while another process writes', () =>
  onStage(async (stage) => {
    const store = await opened(stage, stage.path('store.db'));
    for (let index = 0; index < 50; index += 1) await store.put(`pair/m${index}`, 'x'.repeat(5000), 0);
    const writer = user(stage, 'pairs', 100);
    const seen = new Set<number>();
    for (let last = 0; last < 100; ) {
      const records = await store.list('pair/');
      const a = records[0]?.key === 'pair/a' ? (records[0].value as number) : 0;
      const z = records.at(-1)?.key === 'pair/z' ? (records.at(-1)?.value as number) : 0;
      expect([0, 1]).toContain(a - z);
      seen.add(a);
      last = z;
      await delay(1);
    }
    await writer.good();
    expect(seen.size).toBeGreaterThan(1);
  }));

test('sqlite store - watches what another process changes, to the end', () =>
  onStage(async (stage) => {
    const store = await opened(stage, stage.path('store.db'));
    const end = new AbortController();
    stage.defer(() => end.abort());
    const writer = user(stage, 'count', 'counter', 30);
    let last = 0;
    for await (const { key, value, revision } of store.watch<number>('counter', end.signal)) {
      expect([key, value]).toEqual(['counter', revision]);
      expect(value).toBeGreaterThan(last);
      last = value ?? 0;
      if (value === 30) break;
    }
    await writer.good();
  }));

test('sqlite store - a lease is one process’s alone', () =>
  onStage(async (stage) => {
    const users = ['a', 'b', 'c'].map((holder) => user(stage, 'guard', stage.path('guarded'), holder, 15));
    const epochs = (await Promise.all(users.map((one) => one.good()))).flat().map(Number);
    expect(epochs.sort((a, b) => a - b)).toEqual(Array.from({ length: 45 }, (_, index) => index + 1));
  }));

test('sqlite store - a dead process’s lease lasts until its time is over', () =>
  onStage(async (stage) => {
    const store = await opened(stage, stage.path('store.db'));
    const long = user(stage, 'hold', 'dead', 600_000);
    await long.says(1);
    await long.kill();
    expect(await store.lease('held', 'me', 1000)).toBe(null);
    const other = await opened(stage, stage.path('other.db'));
    const short = new StoreUser(stage.env, stage.path('other.db'), 'hold', 'dead', 100);
    stage.defer(() => short.kill());
    await short.says(1);
    await short.kill();
    const lease = await eventually('the lease is free', () => other.lease('held', 'me', 60_000));
    expect(lease.epoch).toBe(Number(short.said[0]) + 1);
  }));

test(`sqlite store - nothing acknowledged is lost by kill -9 (seed ${seed})`, () =>
  onStage(async (stage) => {
    const { below } = seededRandom(seed);
    let steps = 0;
    for (let round = 0; round < 10; round += 1) {
      const writer = user(stage, 'work', seed, steps);
      await writer.says(1 + below(60));
      await delay(below(8));
      await writer.kill();
      const store = await openSqliteStore(stage.path('store.db'));
      // One more may have been made and not told any more.
      const acknowledged = steps + writer.said.length;
      steps = await stepsLeft(store, seed, acknowledged, acknowledged + 1);
      // Every second time the next writer finds the file as a death has left it, not as a good end does.
      if (round % 2 === 0) await store.close();
      else stage.defer(() => store.close());
    }
    expect(steps).toBeGreaterThan(10);
  }));

test(`sqlite store - nothing acknowledged is lost by a power cut (seed ${seed})`, () =>
  onStage(async (stage) => {
    // What has reached the disk is what a copy of the disk holds, taken while everything else is still in memory.
    const disk = stage.path('disk');
    writeFileSync(disk, Buffer.alloc(48 * 1024 * 1024));
    stage.tool('mke2fs', 'e2fsprogs', ['-q', '-F', '-t', 'ext4', disk]);
    const folder = mounted(stage, 'mounted', '-t', 'ext4', '-o', 'commit=300', stage.loop(disk));
    const writer = new StoreUser(stage.env, join(folder, 'store.db'), 'work', seed, 0);
    stage.defer(() => writer.kill());
    const { below } = seededRandom(seed);
    for (let round = 0, seen = 0; round < 4; round += 1) {
      seen = writer.said.length + 1 + below(30);
      await writer.says(seen);
      writer.child.kill('SIGSTOP');
      await eventually('it stands still', () => stateOf(writer.child.pid ?? 0) === 'T');
      copyFileSync(disk, stage.path('cut'));
      const store = await opened(stage, recovered(stage, round));
      // What it said just before it was stopped may still be on its way to us.
      const acknowledged = writer.said.length;
      expect(await stepsLeft(store, seed, acknowledged, acknowledged + 200)).toBeGreaterThanOrEqual(seen);
      writer.child.kill('SIGCONT');
    }
    await writer.kill();
  }));

/** The store from a copy of the disk, after the repair that a boot does. */
function recovered(stage: Stage, round: number): string {
  // 1: errors were corrected, which replaying the journal is.
  stage.tool('sh', 'dash', ['-c', 'e2fsck -fy "$0" || [ $? = 1 ]', stage.path('cut')]);
  const path = stage.path(`recovered${round}.db`);
  for (const suffix of ['', '-wal']) {
    stage.tool('debugfs', 'e2fsprogs', ['-R', `dump /store.db${suffix} ${path}${suffix}`, stage.path('cut')]);
  }
  return path;
}

test('sqlite store - a full disk fails the change and nothing else', () =>
  onStage(async (stage) => {
    const folder = mounted(stage, 'full', '-t', 'tmpfs', '-o', 'size=1M', 'none');
    writeFileSync(join(folder, 'filler'), Buffer.alloc(256 * 1024));
    // In a process of its own, after whose end the file system can be unmounted.
    const filling = new StoreUser(stage.env, join(folder, 'store.db'), 'fill', join(folder, 'filler'));
    const [full = '', after = ''] = await filling.good();
    const { error, written, kept } = JSON.parse(full) as { error: unknown; written: number; kept: number };
    expect(error).toMatchObject({
      code: 'STORE_FAILED',
      errcode: 13,
      message: expect.stringContaining('disk is full'),
    });
    expect(written).toBeGreaterThan(2);
    expect(kept).toBe(written);
    expect(JSON.parse(after)).toEqual({ kept: written + 1 });
  }));

test('sqlite store - says what is wrong with a file', () =>
  onStage(async (stage) => {
    const readOnly = mounted(stage, 'fixed', '-t', 'tmpfs', '-o', 'ro', 'none');
    writeFileSync(stage.path('text'), 'this is no database, and long enough to be looked at\n'.repeat(100));
    const other = new DatabaseSync(stage.path('other.db'));
    other.exec('CREATE TABLE holidays (day TEXT)');
    other.close();
    await (await openSqliteStore(stage.path('newer.db'))).close();
    const newer = new DatabaseSync(stage.path('newer.db'));
    newer.exec('PRAGMA user_version = 2');
    newer.close();
    const cases = [
      [stage.path('no/store.db'), /no such file or directory/, 'ENOENT'],
      [stage.folder, /SQLITE_CANTOPEN/, null],
      [join(readOnly, 'store.db'), /EROFS/, 'EROFS'],
      [stage.path('text'), /SQLITE_NOTADB/, null],
      [stage.path('other.db'), /the database of another program/, null],
      [stage.path('newer.db'), /it is of version 2, and this program knows 1/, null],
    ] as const;
    for (const [path, words, errno] of cases) {
      const error = (await openSqliteStore(path).catch((reason: unknown) => reason)) as Error;
      expect(error).toMatchObject({ code: 'STORE_FAILED', message: expect.stringMatching(words) });
      expect(error.message).toContain(path);
      expect(errnoOf(error.cause)).toBe(errno);
    }
  }));

test('sqlite store - its files are its user’s alone', () =>
  onStage(async (stage) => {
    const before = process.umask(0);
    stage.defer(() => void process.umask(before));
    const folder = mkdtempSync(stage.path('store-'));
    const store = await openSqliteStore(join(folder, 'store.db'));
    await store.put('a', 1, 0);
    const modes = readdirSync(folder).map((name) => [name, statSync(join(folder, name)).mode & 0o777]);
    expect(modes.sort()).toEqual([
      ['store.db', 0o600],
      ['store.db-shm', 0o600],
      ['store.db-wal', 0o600],
    ]);
    await store.close();
    stage.tool('chmod', 'coreutils', ['644', join(folder, 'store.db')]);
    await (await openSqliteStore(join(folder, 'store.db'))).close();
    expect(statSync(join(folder, 'store.db')).mode & 0o777).toBe(0o600);
  }));

test('sqlite store - waits for a long transaction of another without stopping this process', () =>
  onStage(async (stage) => {
    const path = stage.path('store.db');
    const store = await opened(stage, path);
    await store.put('a', 1, 0);
    const other = new DatabaseSync(path);
    stage.defer(() => other.close());
    other.exec('BEGIN IMMEDIATE');
    const order: string[] = [];
    const put = store.put('b', 1, 0).then(() => order.push('written'));
    // Reading waits for nobody.
    expect((await store.get('a'))?.value).toBe(1);
    for (let turn = 0; turn < 20; turn += 1) await delay(5);
    order.push('given free');
    other.exec('COMMIT');
    await put;
    expect(order).toEqual(['given free', 'written']);
    const impatient = await openSqliteStore(path, { waitMsMax: 50 });
    stage.defer(() => impatient.close());
    other.exec('BEGIN IMMEDIATE');
    expect(await failure(() => impatient.put('c', 1, 0))).toBe('STORE_FAILED');
    other.exec('COMMIT');
    await impatient.put('c', 1, 0);
    expect(present((await store.list('c'))[0], 'record').value).toBe(1);
  }));
