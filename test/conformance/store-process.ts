// A process that uses a store as others do at the same time: `node store-process.js FILE WHAT ...`. What it has done it prints, a
// line each, before it does anything else.
import { closeSync, openSync, unlinkSync, writeSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { codeOf } from '../../src/base/mod.ts';
import { openSqliteStore, type Store, update } from '../../src/store/mod.ts';
import { Workload } from './store-workload.ts';

/** Waits until the bytes are in the pipe, so that what is printed outlives this process. */
function say(line: string | number): void {
  writeSync(1, `${line}\n`);
}

/** Says the number that it made, each time. */
async function count(store: Store, key: string, times: number): Promise<void> {
  for (let index = 0; index < times; index += 1) {
    say((await update<number>(store, key, (value) => (value ?? 0) + 1))?.value ?? 0);
  }
}

/** Goes through the story from a step on, for ever. Says the revision of each step that was made. */
async function work(store: Store, seed: number, from: number): Promise<void> {
  const workload = new Workload(seed);
  for (let step = 0; step < from; step += 1) workload.next();
  for (;;) {
    const { key, value, expected } = workload.next();
    if (value === null) await store.delete(key, expected);
    else await store.put(key, value, expected);
    say('done');
  }
}

/** Writes a number first under "pair/a", then under "pair/z". */
async function pairs(store: Store, times: number): Promise<void> {
  for (let index = 1; index <= times; index += 1) {
    await update<number>(store, 'pair/a', () => index);
    await update<number>(store, 'pair/z', () => index);
  }
}

/** Takes a lease again and again, and while it has it a file that only one can have. Says the epochs. */
async function guard(store: Store, file: string, holder: string, times: number): Promise<void> {
  for (let got = 0; got < times; ) {
    const lease = await store.lease('guarded', holder, 600_000);
    if (lease === null) {
      await delay(2);
      continue;
    }
    closeSync(openSync(file, 'wx'));
    await lease.renew();
    unlinkSync(file);
    say(lease.epoch);
    await lease.release();
    got += 1;
  }
}

/** Takes a lease, says its epoch, and sits there. */
async function hold(store: Store, holder: string, ttlMs: number): Promise<void> {
  say((await store.lease('held', holder, ttlMs))?.epoch ?? 'none');
  for (;;) await delay(60_000);
}

/** Writes until that fails, removes what is in the way, and writes again. Says how it failed and what is there. */
async function fill(store: Store, inTheWay: string): Promise<void> {
  let written = 0;
  try {
    for (; ; written += 1) await store.put(`k${written}`, 'x'.repeat(20_000), 0);
  } catch (reason) {
    const { message } = reason as Error;
    const { errcode } = (reason as { cause?: { errcode?: number } }).cause ?? {};
    const error = { code: codeOf(reason), errcode, message };
    say(JSON.stringify({ error, written, kept: (await store.list('k')).length }));
  }
  unlinkSync(inTheWay);
  await store.put('k-after', 1, 0);
  say(JSON.stringify({ kept: (await store.list('k')).length }));
}

const [file = '', what = '', first = '', second = '', third = ''] = process.argv.slice(2);
const store = await openSqliteStore(file);
if (what === 'count') await count(store, first, Number(second));
else if (what === 'work') await work(store, Number(first), Number(second));
else if (what === 'pairs') await pairs(store, Number(first));
else if (what === 'guard') await guard(store, first, second, Number(third));
else if (what === 'hold') await hold(store, first, Number(second));
else if (what === 'fill') await fill(store, first);
else throw new Error(`cannot ${what}`);
await store.close();
