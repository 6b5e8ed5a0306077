// Part of the store's suite: records, revisions, compare-and-set, what can be stored, `update` and the epoch gate.
import { expect, it } from 'vitest';
import { present, seededRandom } from '../../src/base/mod.ts';
import { type Store, storeEpochGate, update } from '../../src/store/mod.ts';
import { failure, type StoreBench } from './store-bench.ts';

const MIB = 1024 * 1024;
/** 200 characters. */
const LONGEST = `${'a'.repeat(99)}/${'b'.repeat(100)}`;

function nested(depth: number): unknown {
  return depth === 0 ? 1 : [nested(depth - 1)];
}

function circle(): unknown {
  const value: Record<string, unknown> = {};
  value.self = { value };
  return value;
}

export function describeRecords(bench: StoreBench): void {
  describeRevisions(bench);
  describeSeveralStores(bench);
  describeLists(bench);
  describeValues(bench);
  describeLimits(bench);
  describeUpdates(bench);
  describeGates(bench);
  describeClosing(bench);
}

function describeRevisions(bench: StoreBench): void {
  it('writes what does not exist, and reads it', async () => {
    const store = await bench.open();
    expect(await store.get('host/web1')).toBe(null);
    const revision = await store.put('host/web1', { power: 'on' }, 0);
    expect(revision).toBeGreaterThanOrEqual(1);
    expect(await store.get('host/web1')).toEqual({ key: 'host/web1', value: { power: 'on' }, revision });
    expect(await store.get('host/web')).toBe(null);
    expect(await store.get('host/web12')).toBe(null);
  });

  it('writes only over the revision that is expected', async () => {
    const store = await bench.open();
    const first = await store.put('a', 1, 0);
    const second = await store.put('a', 2, first);
    expect(second).toBeGreaterThan(first);
    expect(await failure(() => store.put('a', 3, first))).toBe('STORE_CONFLICT');
    expect(await failure(() => store.put('a', 3, second + 1))).toBe('STORE_CONFLICT');
    expect(await failure(() => store.put('a', 3, 0))).toBe('STORE_CONFLICT');
    expect(await failure(() => store.put('b', 3, first))).toBe('STORE_CONFLICT');
    expect(await store.list('')).toEqual([{ key: 'a', value: 2, revision: second }]);
  });

  it('says at which revision a record was found instead', async () => {
    const store = await bench.open();
    const revision = await store.put('a', 1, 0);
    await expect(store.put('a', 2, 0)).rejects.toMatchObject({ details: { expected: 0, found: revision } });
    await expect(store.put('b', 2, 7)).rejects.toMatchObject({ details: { expected: 7, found: 0 } });
  });

  it('deletes only at the revision that is expected', async () => {
    const store = await bench.open();
    const revision = await store.put('a', 1, 0);
    expect(await failure(() => store.delete('a', revision + 1))).toBe('STORE_CONFLICT');
    expect(await failure(() => store.delete('b', revision))).toBe('STORE_CONFLICT');
    expect((await store.get('a'))?.value).toBe(1);
    await store.delete('a', revision);
    expect(await store.get('a')).toBe(null);
    expect(await store.list('')).toEqual([]);
    expect(await failure(() => store.delete('a', revision))).toBe('STORE_CONFLICT');
  });

  it('never uses a revision twice, also after a deletion', async () => {
    const store = await bench.open();
    const first = await store.put('a', 1, 0);
    await store.delete('a', first);
    expect(await failure(() => store.put('a', 2, first))).toBe('STORE_CONFLICT');
    const again = await store.put('a', 2, 0);
    expect(again).toBeGreaterThan(first + 1);
    await store.delete('a', again);
    expect(await store.put('b', 1, 0)).toBeGreaterThan(again + 1);
  });
}

function describeSeveralStores(bench: StoreBench): void {
  it('orders all changes of all stores by one counter', async () => {
    const stores = [await bench.open(), await bench.open()];
    let last = 0;
    for (let index = 0; index < 20; index += 1) {
      const store = present(stores[index % 2], 'store');
      const revision = await store.put(`key${index % 7}-${index}`, index, 0);
      expect(revision).toBeGreaterThan(last);
      last = revision;
    }
  });

  it('shows to every store what another has written', async () => {
    const [one, other] = [await bench.open(), await bench.open()];
    const revision = await one.put('a', { b: [1] }, 0);
    expect(await other.get('a')).toEqual({ key: 'a', value: { b: [1] }, revision });
    await other.delete('a', revision);
    expect(await one.get('a')).toBe(null);
    expect(await one.list('')).toEqual([]);
  });
}

function describeLists(bench: StoreBench): void {
  it('lists in the order of keys, those under the prefix only', async () => {
    const store = await bench.open();
    const keys = ['b/2', 'a', 'a/b', 'a-b', 'a.b', 'a_b', 'ab', 'a/10', 'a/9', 'b/1', 'c', 'a/b/c', 'aa/b'];
    for (const key of keys) await store.put(key, key, 0);
    async function listed(prefix: string): Promise<string[]> {
      const records = await store.list<string>(prefix);
      for (const record of records) expect(record).toEqual(await store.get(record.key));
      return records.map(({ key }) => key);
    }
    const sorted = ['a', 'a-b', 'a.b', 'a/10', 'a/9', 'a/b', 'a/b/c', 'a_b', 'aa/b', 'ab', 'b/1', 'b/2', 'c'];
    expect(await listed('')).toEqual(sorted);
    expect(await listed('a/')).toEqual(['a/10', 'a/9', 'a/b', 'a/b/c']);
    expect(await listed('a/b')).toEqual(['a/b', 'a/b/c']);
    expect(await listed('b/')).toEqual(['b/1', 'b/2']);
    expect(await listed('c')).toEqual(['c']);
    expect(await listed('c/')).toEqual([]);
    expect(await listed('d')).toEqual([]);
  });
}

function describeValues(bench: StoreBench): void {
  it.each([
    ['texts', ['', 'é', '\u{1F600}', '\0', '\ud800', `'"\\`, 'x'.repeat(10_000)]],
    ['numbers', [0, -1, 1.5, Number.MAX_SAFE_INTEGER, Number.MIN_VALUE, 1e308]],
    ['others', [true, false, null, [], {}, [[]], [null]]],
    ['strange names', JSON.parse('{"__proto__":{"a":1},"constructor":2,"toString":"x","":0,"10":1,"2":2}')],
    ['no prototype', Object.assign(Object.create(null), { a: 1 })],
    ['a deep value', nested(100)],
    ['false alone', false],
    ['an empty text alone', ''],
  ])('reads what was written: %s', async (_what, value) => {
    const store = await bench.open();
    await store.put('a', value, 0);
    const found = present(await store.get('a'), 'record').value;
    expect(JSON.stringify(found)).toBe(JSON.stringify(value));
    expect(present((await store.list('a'))[0], 'record').value).toEqual(found);
  });

  it('leaves out properties that are undefined', async () => {
    const store = await bench.open();
    await store.put('a', { b: undefined, c: [{ d: undefined }] }, 0);
    expect(Object.keys(present(await store.get<object>('a'), 'record').value)).toEqual(['c']);
  });

  it('keeps values apart from those who wrote or read them', async () => {
    const store = await bench.open();
    const value = { list: [1] };
    await store.put('a', value, 0);
    value.list.push(2);
    const read = present(await store.get<{ list: number[] }>('a'), 'record').value;
    expect(read).toEqual({ list: [1] });
    read.list.push(3);
    expect((await store.get('a'))?.value).toEqual({ list: [1] });
  });

  it.each(['__proto__', 'constructor', 'has-own', 'valueof', '.', '..', '-', '0', 'a/../b', LONGEST])(
    'takes the key %s',
    async (key) => {
      const store = await bench.open();
      expect(await store.get(key)).toBe(null);
      const revision = await store.put(key, { key }, 0);
      expect(await store.get(key)).toEqual({ key, value: { key }, revision });
      expect(await store.list('')).toEqual([{ key, value: { key }, revision }]);
      await store.delete(key, revision);
      expect(await store.get(key)).toBe(null);
    },
  );
}

function describeLimits(bench: StoreBench): void {
  it.each(['', '/', 'a/', '/a', 'a//b', 'A', 'a b', 'é', 'a\n', 'a\0', 'a:b', 'a%', `${LONGEST}c`])(
    'refuses the key %j',
    async (key) => {
      const store = await bench.open();
      expect(await failure(() => store.get(key))).toBe('STORE_INVALID');
      expect(await failure(() => store.put(key, 1, 0))).toBe('STORE_INVALID');
      expect(await failure(() => store.delete(key, 1))).toBe('STORE_INVALID');
      expect(await failure(() => store.lease(key, 'me', 1000))).toBe('STORE_INVALID');
    },
  );

  it.each(['/', 'a//', '/a', 'A', '%', 'a*', 'é', `${LONGEST}c`])('refuses the prefix %j', async (prefix) => {
    const store = await bench.open();
    expect(await failure(() => store.list(prefix))).toBe('STORE_INVALID');
    expect(await failure(() => store.watch(prefix, new AbortController().signal))).toBe('STORE_INVALID');
  });

  it.each([
    ['null', null],
    ['undefined', undefined],
    ['NaN', { a: Number.NaN }],
    ['Infinity', [Number.POSITIVE_INFINITY]],
    ['a function', { a: () => 1 }],
    ['a method toJSON', { toJSON: () => 1 }],
    ['a symbol', Symbol('a')],
    ['a bigint', { a: 1n }],
    ['a date', { a: new Date(0) }],
    ['a map', new Map([[1, 2]])],
    ['bytes', new Uint8Array(1)],
    ['undefined in a list', [undefined]],
    ['a hole in a list', new Array(2)],
    ['an instance', new URL('http://localhost')],
    ['a circle', circle()],
    ['too deep a value', nested(101)],
    ['a text too long', 'x'.repeat(MIB - 1)],
    ['a text too long in bytes', 'é'.repeat(MIB / 2)],
  ])('refuses the value: %s', async (_what, value) => {
    const store = await bench.open();
    expect(await failure(() => store.put('a', value, 0))).toBe('STORE_INVALID');
    expect(await store.get('a')).toBe(null);
    expect(await store.put('a', 1, 0)).toBeGreaterThanOrEqual(1);
  });

  it('takes a value of one mebibyte', async () => {
    const store = await bench.open();
    const value = 'é'.repeat(MIB / 2 - 1);
    await store.put('a', value, 0);
    expect((await store.get('a'))?.value).toBe(value);
  });

  it('says where in a value the flaw is', async () => {
    const store = await bench.open();
    await expect(store.put('a/b', { hosts: [1, { p95: Number.NaN }] }, 0)).rejects.toThrow(
      'a/b: the value.hosts[1].p95 is NaN',
    );
  });

  it('treats revisions that cannot be as mistakes of the program', async () => {
    const store = await bench.open();
    await expect(store.put('a', 1, -1)).rejects.toThrow('a record cannot have the revision -1');
    await expect(store.put('a', 1, 1.5)).rejects.toThrow('revision 1.5');
    await expect(store.delete('a', 0)).rejects.toThrow('revision 0');
  });
}

function describeUpdates(bench: StoreBench): void {
  it('loses no update of many at once', async () => {
    const stores = [await bench.open(), await bench.open(), await bench.open()];
    async function count(store: Store): Promise<void> {
      for (let index = 0; index < 20; index += 1) await update<number>(store, 'count', (value) => (value ?? 0) + 1);
    }
    await Promise.all([...stores, ...stores].map(count));
    expect((await present(stores[0], 'store').get('count'))?.value).toBe(120);
  });

  it('updates, creates, deletes and leaves alone', async () => {
    const store = await bench.open();
    const made = await update<{ n: number }>(store, 'a', (value) => value ?? { n: 1 });
    expect(made).toEqual(await store.get('a'));
    const left = await update<{ n: number }>(store, 'a', (value) => value);
    expect(left).toEqual(made);
    const raised = await update<{ n: number }>(store, 'a', async (value) => ({ n: (value?.n ?? 0) + 1 }));
    expect(raised).toEqual(await store.get('a'));
    expect(raised?.value).toEqual({ n: 2 });
    expect(await update(store, 'a', () => null)).toBe(null);
    expect(await store.get('a')).toBe(null);
    expect(await update(store, 'a', () => null)).toBe(null);
  });

  it('writes nothing when the change throws', async () => {
    const store = await bench.open();
    await store.put('a', 1, 0);
    const refuse = (): number => {
      throw new Error('not now');
    };
    await expect(update<number>(store, 'a', refuse)).rejects.toThrow('not now');
    expect((await store.get('a'))?.value).toBe(1);
  });

  it('gives up against somebody who is always faster', async () => {
    const store = await bench.open();
    let tries = 0;
    async function overtaken(value: number | null): Promise<number> {
      tries += 1;
      await store.put('a', -tries, (await store.get('a'))?.revision ?? 0);
      return (value ?? 0) + 1;
    }
    expect(await failure(() => update<number>(store, 'a', overtaken))).toBe('STORE_CONFLICT');
    expect(tries).toBeGreaterThan(10);
    expect((await store.get('a'))?.value).toBe(-tries);
  });
}

function describeGates(bench: StoreBench): void {
  it('admits no epoch that is lower than one admitted, per thing, in any store', async () => {
    const [one, other] = [await bench.open(), await bench.open()];
    await storeEpochGate(one).admit('power/web1', 3);
    await storeEpochGate(one).admit('power/web1', 3);
    expect(await failure(() => storeEpochGate(other).admit('power/web1', 2))).toBe('EPOCH_STALE');
    await storeEpochGate(other).admit('power/web1', 5);
    expect(await failure(() => storeEpochGate(one).admit('power/web1', 4))).toBe('EPOCH_STALE');
    await storeEpochGate(one).admit('power/web2', 1);
    await storeEpochGate(one).admit('power/web1', 5);
    expect((await one.list('epoch/')).map(({ key, value }) => [key, value])).toEqual([
      ['epoch/power/web1', 5],
      ['epoch/power/web2', 1],
    ]);
  });

  it('writes only when an epoch is raised', async () => {
    const store = await bench.open();
    const gate = storeEpochGate(store);
    await gate.admit('volume/a', 1);
    const revision = (await store.get('epoch/volume/a'))?.revision;
    await gate.admit('volume/a', 1);
    expect((await store.get('epoch/volume/a'))?.revision).toBe(revision);
  });

  it('remembers the highest of many epochs at once', async () => {
    const stores = [await bench.open(), await bench.open()];
    const { below } = seededRandom(5);
    const epochs = Array.from({ length: 60 }, () => 1 + below(1000));
    const outcomes = await Promise.all(
      epochs.map((epoch, index) =>
        failure(() => storeEpochGate(present(stores[index % 2], 'store')).admit('director/wiki/web1', epoch)),
      ),
    );
    expect(new Set(outcomes).size).toBeLessThanOrEqual(2);
    expect(outcomes[epochs.indexOf(Math.max(...epochs))]).toBe('none');
    expect((await present(stores[0], 'store').get('epoch/director/wiki/web1'))?.value).toBe(Math.max(...epochs));
  });

  it('keeps things apart whose names cannot be keys', async () => {
    const store = await bench.open();
    const gate = storeEpochGate(store);
    const things = ['power/Web', 'power/web', 'power/_57_eb', 'power/web 1', 'power/web_1', 'power/\u{1F600}'];
    for (const [index, thing] of things.entries()) await gate.admit(thing, index + 2);
    for (const [index, thing] of things.entries()) {
      expect(await failure(() => gate.admit(thing, index + 1))).toBe('EPOCH_STALE');
      await gate.admit(thing, index + 2);
    }
    expect(await store.list('epoch/')).toHaveLength(things.length);
  });
}

function describeClosing(bench: StoreBench): void {
  it('refuses everything once it is closed, and may be closed again', async () => {
    const [store, other] = [await bench.open(), await bench.open()];
    await store.put('a', 1, 0);
    const lease = present(await store.lease('a', 'me', 1000), 'lease');
    await store.close();
    await store.close();
    const calls: (() => unknown)[] = [
      () => store.get('a'),
      () => store.list(''),
      () => store.put('b', 1, 0),
      () => store.delete('a', 1),
      () => store.watch('', new AbortController().signal),
      () => store.lease('b', 'me', 1000),
      () => lease.renew(),
      () => lease.release(),
    ];
    for (const call of calls) expect(await failure(call)).toBe('STORE_FAILED');
    expect((await other.get('a'))?.value).toBe(1);
  });
}
