// Which of two steps that are under way together ends the process: only that one is given up, in whatever order they
// are begun.
import { describe, expect, it } from 'vitest';
import { UnderstudyError } from '../base/mod.ts';
import { StoreMemory } from '../store/mod.ts';
import { Journal } from './journal.ts';
import { look } from './look.ts';
import type { Context, ControllerParts } from './parts.ts';
import type { Reconciler } from './reconciler.ts';
import { Suspects } from './suspects.ts';
import { Tries } from './tries.ts';
import { Uncaught } from './uncaught.ts';
import { World } from './world.ts';

class Died extends Error {}

/** Lives of a process, each of which looks at all names at once, until all are over. */
class Lives {
  readonly #memory = new StoreMemory();
  readonly over = new Map<string, string>();
  deaths = 0;

  async live(names: readonly string[]): Promise<void> {
    let dead = false;
    const store = new Proxy(this.#memory.open(), {
      get: (target, property) => {
        const value = Reflect.get(target, property, target) as unknown;
        if (typeof value !== 'function') return value;
        return (...args: unknown[]) => {
          if (dead) throw new Died();
          return Reflect.apply(value, target, args) as unknown;
        };
      },
    });
    const reconciler: Reconciler = {
      step: async ({ name }) => (this.over.has(name) ? null : 'step'),
      run: async ({ name }) => {
        // The innocent takes long, and the culprit only a moment.
        for (let turn = 0; turn < (name === 'culprit' ? 3 : 30); turn += 1) {
          await Promise.resolve();
          if (dead) throw new Died();
        }
        if (name === 'culprit') {
          dead = true;
          throw new Died();
        }
        this.over.set(name, 'done');
        return null;
      },
      exhausted: async ({ name }, { begun, lost }) => {
        if (lost < 5) return 'run';
        this.over.set(name, `given up after ${begun}`);
        return null;
      },
    };
    const parts = { store, wall: () => 1000, log: () => undefined } as unknown as ControllerParts;
    const context: Context = { parts, epoch: 1, signal: new AbortController().signal };
    const shared = { world: new World(), journal: new Journal(parts), suspects: new Suspects() };
    const all = { ...shared, tries: new Tries(store, () => 1000) };
    await Promise.allSettled(names.map((name) => look(context, all, `work/${name}`, { work: reconciler })));
    if (dead) this.deaths += 1;
  }
}

describe('looks', () => {
  it.each([
    ['culprit', 'innocent'],
    ['innocent', 'culprit'],
  ])('look - begun as %s and %s: the culprit alone is given up', async (...names) => {
    const lives = new Lives();
    for (let life = 0; life < 20 && lives.over.size < 2; life += 1) await lives.live(names);
    expect(Object.fromEntries(lives.over)).toEqual({ culprit: 'given up after 5', innocent: 'done' });
    expect(lives.deaths).toBe(5);
  });

  it.each([
    ['others were first', () => new UnderstudyError('STORE_CONFLICT', 'x'), null, 0],
    ['another controller has taken over', () => new UnderstudyError('EPOCH_STALE', 'x'), null, 0],
    ['it was stopped', () => new Error('x'), new Error('stop'), 0],
    ['what it began threw an error that nobody caught', () => new Error('x'), new Uncaught(new Error('y')), 1],
    ['it failed', () => new UnderstudyError('STORAGE_FAILED', 'x'), null, 1],
  ])('look - %s: that is a try, or it is not', async (_, error, stop, begun) => {
    const store = new StoreMemory().open();
    const ending = new AbortController();
    const parts = { store, wall: () => 1000, log: () => undefined } as unknown as ControllerParts;
    const context: Context = { parts, epoch: 1, signal: ending.signal };
    const tries = new Tries(store, () => 1000);
    const all = { world: new World(), journal: new Journal(parts), suspects: new Suspects(), tries };
    const work: Reconciler = {
      step: async () => 'step',
      run: async () => {
        if (stop !== null) ending.abort(stop);
        throw error();
      },
      exhausted: async () => 'run',
    };
    await expect(look(context, all, 'work/one', { work })).rejects.toThrow('x');
    expect(await tries.counted('work/one', 'step')).toEqual({ begun, lost: 0 });
  });
});
