// Part of the store's suite: watches.
import { expect, it } from 'vitest';
import { present, seededRandom } from '../../src/base/mod.ts';
import type { Change, Store } from '../../src/store/mod.ts';
import { eventually } from '../rig/wait.ts';
import { failure, type StoreBench } from './store-bench.ts';

type Watch = AsyncIterator<Change<unknown>>;

function begin(store: Store, prefix: string, signal: AbortSignal): Watch {
  return store.watch<unknown>(prefix, signal)[Symbol.asyncIterator]();
}

async function next(watch: Watch): Promise<Change<unknown>> {
  const { done, value } = await watch.next();
  if (done === true) throw new Error('the watch has ended');
  return value;
}

async function take(watch: Watch, count: number): Promise<readonly (readonly [string, unknown])[]> {
  const taken: [string, unknown][] = [];
  let last = 0;
  while (taken.length < count) {
    const { key, value, revision } = await next(watch);
    expect(revision).toBeGreaterThan(last);
    last = revision;
    taken.push([key, value]);
  }
  return taken;
}

/** What somebody knows who has read everything so far. */
async function follow(store: Store, signal: AbortSignal, known: Map<string, unknown>): Promise<void> {
  for await (const { key, value } of store.watch<unknown>('', signal)) {
    if (value === null) known.delete(key);
    else known.set(key, value);
  }
}

async function isOver(watch: Watch): Promise<boolean> {
  return (await watch.next()).done === true;
}

export function describeWatches(bench: StoreBench): void {
  describeContent(bench);
  describeOrder(bench);
  describeSeveralStores(bench);
  describeLag(bench);
  describeEnds(bench);
}

function describeContent(bench: StoreBench): void {
  it('watches: first all that there is, then each change, under the prefix only', async () => {
    const store = await bench.open();
    const a = await store.put('in/a', 1, 0);
    await store.put('out', 1, 0);
    await store.put('in/b', 1, 0);
    const watch = begin(store, 'in/', bench.ending().signal);
    expect(await take(watch, 2)).toEqual([
      ['in/a', 1],
      ['in/b', 1],
    ]);
    const revision = await store.put('in/a', 2, a);
    expect(await next(watch)).toEqual({ key: 'in/a', value: 2, revision });
    const change = next(watch);
    await store.put('out-again', 1, 0);
    const later = await store.put('in/c', 3, 0);
    expect(await change).toEqual({ key: 'in/c', value: 3, revision: later });
  });

  it('watches what is not there yet', async () => {
    const store = await bench.open();
    const change = next(begin(store, '', bench.ending().signal));
    const revision = await store.put('a', { b: 1 }, 0);
    expect(await change).toEqual({ key: 'a', value: { b: 1 }, revision });
  });

  it('watches deletions, but none from before it began', async () => {
    const store = await bench.open();
    await store.delete('old', await store.put('old', 1, 0));
    const a = await store.put('a', 1, 0);
    const watch = begin(store, '', bench.ending().signal);
    expect(await take(watch, 1)).toEqual([['a', 1]]);
    await store.delete('a', a);
    const gone = await next(watch);
    expect(gone).toMatchObject({ key: 'a', value: null });
    expect(gone.revision).toBeGreaterThan(a);
    const again = await store.put('a', 2, 0);
    expect(await next(watch)).toEqual({ key: 'a', value: 2, revision: again });
  });
}

function describeOrder(bench: StoreBench): void {
  it('watches level, not edges: who reads late gets the last state, once', async () => {
    const store = await bench.open();
    let revision = await store.put('a', 0, 0);
    const watch = begin(store, '', bench.ending().signal);
    expect((await next(watch)).value).toBe(0);
    for (let index = 1; index <= 50; index += 1) revision = await store.put('a', index, revision);
    expect(await next(watch)).toEqual({ key: 'a', value: 50, revision });
    await store.put('b', 1, 0);
    expect((await next(watch)).key).toBe('b');
  });

  it('watches in the order of revisions also while it catches up', async () => {
    const store = await bench.open();
    const revisions = new Map<string, number>();
    for (let index = 0; index < 20; index += 1) revisions.set(`k${index}`, await store.put(`k${index}`, 0, 0));
    const watch = begin(store, 'k', bench.ending().signal);
    expect((await next(watch)).key).toBe('k0');
    await store.put('k0', 1, present(revisions.get('k0'), 'revision'));
    await store.put('k5', 1, present(revisions.get('k5'), 'revision'));
    const rest = await take(watch, 20);
    expect(rest.slice(0, 4).map(([key]) => key)).toEqual(['k1', 'k2', 'k3', 'k4']);
    expect(rest.slice(-2)).toEqual([
      ['k0', 1],
      ['k5', 1],
    ]);
  });
}

function describeSeveralStores(bench: StoreBench): void {
  it('watches what other stores change', async () => {
    const [store, other] = [await bench.open(), await bench.open()];
    const watch = begin(store, 'a', bench.ending().signal);
    const made = next(watch);
    const revision = await other.put('a', 1, 0);
    expect(await made).toEqual({ key: 'a', value: 1, revision });
    const deleted = next(watch);
    await other.delete('a', revision);
    expect((await deleted).value).toBe(null);
  });

  it('watches: several watches, each at its own pace, end with what is there', async () => {
    const stores = [await bench.open(), await bench.open()];
    const { below } = seededRandom(11);
    const end = bench.ending();
    const pictures = Array.from({ length: 4 }, () => new Map<string, unknown>());
    const watches = pictures.map((known, index) => follow(present(stores[index % 2], 'store'), end.signal, known));
    async function meddle(store: Store): Promise<void> {
      for (let index = 0; index < 120; index += 1) {
        const key = `k${below(12)}`;
        const revision = (await store.get(key))?.revision ?? 0;
        const remove = revision > 0 && below(3) === 0;
        // Lost races are part of the game.
        await failure(() => (remove ? store.delete(key, revision) : store.put(key, index, revision)));
      }
    }
    await Promise.all(stores.map(meddle));
    const wanted = Object.fromEntries(
      (await present(stores[0], 'store').list('')).map(({ key, value }) => [key, value]),
    );
    for (const known of pictures) {
      const same = () => JSON.stringify(Object.fromEntries([...known].sort())) === JSON.stringify(wanted);
      await eventually('a picture that equals the store', same);
    }
    end.abort();
    await Promise.all(watches);
  });
}

function describeLag(bench: StoreBench): void {
  it('watches: a reader that is too far behind hears of it, and one that begins again is whole', async () => {
    const store = await bench.open({ deletionsKept: 10 });
    const a = await store.put('a', 1, 0);
    const watch = begin(store, '', bench.ending().signal);
    expect((await next(watch)).key).toBe('a');
    await store.delete('a', a);
    for (let index = 0; index < 6; index += 1) await store.delete('b', await store.put('b', 1, 0));
    expect(await failure(() => next(watch))).toBe('STORE_FAILED');
    expect(await isOver(watch)).toBe(true);
    await store.put('c', 1, 0);
    expect(await take(begin(store, '', bench.ending().signal), 1)).toEqual([['c', 1]]);
  });

  it('watches: forgetting deletions disturbs nobody who keeps up', async () => {
    const store = await bench.open({ deletionsKept: 10 });
    await store.put('stays', 1, 0);
    const watch = begin(store, '', bench.ending().signal);
    expect((await next(watch)).key).toBe('stays');
    for (let index = 0; index < 15; index += 1) {
      const revision = await store.put('a', index, 0);
      expect(await next(watch)).toEqual({ key: 'a', value: index, revision });
      await store.delete('a', revision);
      expect(await next(watch)).toMatchObject({ key: 'a', value: null });
    }
    expect((await store.list('')).map(({ key }) => key)).toEqual(['stays']);
  });
}

function describeEnds(bench: StoreBench): void {
  it('watches until the signal ends it: while it waits, between, and before it began', async () => {
    const store = await bench.open();
    await store.put('a', 1, 0);
    const end = bench.ending();
    const [waiting, between] = [begin(store, '', end.signal), begin(store, '', end.signal)];
    expect(await take(waiting, 1)).toEqual([['a', 1]]);
    const pending = isOver(waiting);
    end.abort();
    expect(await pending).toBe(true);
    expect(await isOver(between)).toBe(true);
    expect(await isOver(begin(store, '', end.signal))).toBe(true);
    // A signal that ended a watch does not keep the next change from others.
    expect(await take(begin(store, '', bench.ending().signal), 1)).toEqual([['a', 1]]);
  });

  it('watches until the reader ends it', async () => {
    const store = await bench.open();
    await store.put('a', 1, 0);
    for await (const change of store.watch('', bench.ending().signal)) {
      expect(change.key).toBe('a');
      break;
    }
  });

  it('ends its watches when it is closed, and no others', async () => {
    const [store, other] = [await bench.open(), await bench.open()];
    await store.put('a', 1, 0);
    const watch = begin(store, '', bench.ending().signal);
    const elsewhere = begin(other, '', bench.ending().signal);
    expect(await take(watch, 1)).toEqual([['a', 1]]);
    expect(await take(elsewhere, 1)).toEqual([['a', 1]]);
    const [over, goesOn] = [isOver(watch), next(elsewhere)];
    await store.close();
    expect(await over).toBe(true);
    await other.put('b', 1, 0);
    expect((await goesOn).key).toBe('b');
  });
}
