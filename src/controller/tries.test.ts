import { describe, expect, it } from 'vitest';
import type { UnderstudyError } from '../base/mod.ts';
import { StoreMemory } from '../store/mod.ts';
import { Suspects } from './suspects.ts';
import { Tries } from './tries.ts';

const KEY = 'engagement/wiki-1';

/** A life of the controller on a store that outlives it. */
function lives(): { readonly next: () => Tries; nowMs: number } {
  const memory = new StoreMemory();
  const world = { nowMs: 1_000_000, next: () => new Tries(memory.open(), () => world.nowMs) };
  return world;
}

describe('tries', () => {
  it('tries - one that ends the process is counted, for it was written before it began', async () => {
    const world = lives();
    for (let death = 0; death < 3; death += 1) {
      const attempt = await world.next().begin(KEY, 'replicate');
      expect([attempt.begun, attempt.lost]).toEqual([death + 1, death]);
    }
    expect(await world.next().counted(KEY, 'replicate')).toEqual({ begun: 3, lost: 3 });
  });

  it('tries - those that failed are counted and not lost, and one that was stopped is none', async () => {
    const world = lives();
    await (await world.next().begin(KEY, 'fence')).ended('failed');
    await (await world.next().begin(KEY, 'fence')).ended('stopped');
    await world.next().begin(KEY, 'fence');
    expect(await world.next().counted(KEY, 'fence')).toEqual({ begun: 2, lost: 1 });
  });

  it('tries - a step that ends well, or another one, begins at nothing', async () => {
    const world = lives();
    await world.next().begin(KEY, 'fence');
    expect(await world.next().counted(KEY, 'preserve')).toEqual({ begun: 0, lost: 0 });
    const tries = world.next();
    await (await tries.begin(KEY, 'fence')).ended('well');
    expect(await world.next().counted(KEY, 'fence')).toEqual({ begun: 0, lost: 0 });
  });

  it('tries - a look that is repeated is counted while the process is young, and again after it failed', async () => {
    const world = lives();
    const tries = world.next();
    const counted = async (): Promise<number> => (await world.next().counted('service/wiki', 'look')).begun;
    for (const how of ['well', 'well', 'failed', 'well'] as const) {
      const attempt = await tries.begin('service/wiki', 'look');
      expect(await counted()).toBeGreaterThan(0);
      await attempt.ended(how);
    }
    world.nowMs += 60_001;
    const attempt = await tries.begin('service/wiki', 'look');
    expect(await counted()).toBe(0);
    await attempt.ended('failed');
    await tries.begin('service/wiki', 'look');
    expect(await counted()).toBe(1);
  });

  it('tries - that another controller counts meanwhile fails nothing, and its count stays', async () => {
    const world = lives();
    const attempt = await world.next().begin(KEY, 'fence');
    await world.next().begin(KEY, 'fence');
    await attempt.ended('well');
    expect(await world.next().counted(KEY, 'fence')).toEqual({ begun: 2, lost: 2 });
  });

  it('tries - rests once in a life, and once more when somebody has seen to it', async () => {
    const tries = lives().next();
    expect([tries.rests(KEY), tries.rests(KEY)]).toEqual([true, false]);
    await tries.forget(KEY);
    expect([tries.rests(KEY), tries.rests(KEY)]).toEqual([true, false]);
  });

  it('tries - a count that cannot be used is not taken for none', async () => {
    const memory = new StoreMemory();
    await memory.open().put('try/service/wiki', { step: 'look', begun: -1 }, 0);
    const tries = new Tries(memory.open(), () => 0);
    await expect(tries.begin('service/wiki', 'look')).rejects.toMatchObject({ code: 'RECORD_UNUSABLE' });
  });
});

describe('suspects', () => {
  it('suspects - one at a time, in order, and one that is stopped lets the next in', async () => {
    const suspects = new Suspects();
    const order: string[] = [];
    const signal = new AbortController().signal;
    const stop = new AbortController();
    const first = await suspects.turn(signal);
    const second = suspects.turn(stop.signal).catch((error: UnderstudyError) => error.code);
    const third = suspects.turn(signal).then((end) => {
      order.push('third');
      end();
    });
    stop.abort();
    expect(await second).toBe('INTERRUPTED');
    order.push('first ends');
    first();
    await third;
    expect(order).toEqual(['first ends', 'third']);
  });
});
