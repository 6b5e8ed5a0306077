// A store file that another program, or a damaged disk, has changed.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from '@photostructure/sqlite';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FOREIGN, openSqliteStore, type Store } from './mod.ts';

let folder: string;
let lives = 0;
const open: Store[] = [];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'ustu-store-'));
});

afterEach(async () => {
  for (const store of open.splice(0)) await store.close();
  rmSync(folder, { recursive: true, force: true });
});

/**
 * A store with a record, after a change that is not the store's. Another file each time: SQLite's locks are this
 * process's.
 */
async function damaged(...statements: readonly string[]): Promise<Store> {
  lives += 1;
  const path = join(folder, `store-${lives}.db`);
  const first = await openSqliteStore(path);
  await first.put('thing/good', { is: 'good' }, 0);
  await first.put('thing/bad', { is: 'bad' }, 0);
  await first.close();
  const database = new DatabaseSync(path);
  for (const statement of statements) database.exec(statement);
  database.close();
  const store = await openSqliteStore(path);
  open.push(store);
  return store;
}

const unusable = { code: 'RECORD_UNUSABLE', message: expect.stringContaining('thing/bad') };
const SET = `UPDATE record SET`;
const BAD = `WHERE key = 'thing/bad'`;

describe('a store file that another program has changed', () => {
  it.each([
    ['is not JSON', `${SET} text = '{"is": bad}' ${BAD}`],
    ['is empty', `${SET} text = '' ${BAD}`],
    ['is null', `${SET} text = 'null' ${BAD}`],
    ['is far too long', `${SET} text = '"' || hex(zeroblob(1000000)) || '"' ${BAD}`],
  ])('damaged - a record that %s fails who needs it, and is deleted like any other', async (_, statement) => {
    const store = await damaged(statement);
    const records = await store.list<{ readonly is: string }>('thing/');
    expect(records.map(({ key }) => key)).toEqual(['thing/bad', 'thing/good']);
    expect(records[1]?.value).toEqual({ is: 'good' });
    expect(() => records[0]?.value).toThrow(expect.objectContaining(unusable));
    const bad = await store.get('thing/bad');
    expect(() => bad?.value).toThrow(expect.objectContaining(unusable));
    await store.delete('thing/bad', bad?.revision ?? 0);
    expect(await store.get('thing/bad')).toBe(null);
  });

  it.each(['0', '-7', '4', '9007199254740993', '9223372036854775807'])(
    'damaged - a record of revision %s is not taken for one that is not there, nor replaced, nor changed',
    async (revision) => {
      const store = await damaged(`${SET} revision = ${revision} ${BAD}`);
      const bad = await store.get('thing/bad');
      expect(bad?.revision).toBe(FOREIGN);
      expect(() => bad?.value).toThrow(expect.objectContaining(unusable));
      await expect(store.put('thing/bad', {}, 0)).rejects.toMatchObject({ code: 'STORE_CONFLICT' });
      // The revision that it occupies is passed over, and no write deletes it.
      const given = [
        await store.put('thing/a', 1, 0),
        await store.put('thing/b', 1, 0),
        await store.put('thing/c', 1, 0),
      ];
      expect(given).not.toContain(Number(revision));
      expect((await store.list('thing/')).map(({ key }) => key)).toContain('thing/bad');
      const found = (await store.get('thing/bad'))?.revision ?? 0;
      await store.delete('thing/bad', found);
      expect(await store.get('thing/bad')).toBe(null);
    },
  );

  it('damaged - a record under a key that is none is listed, and deleted as foreign only', async () => {
    const store = await damaged(`${SET} key = 'thing/B\u00e9 \u001b' ${BAD}`);
    const [bad] = (await store.list('thing/')).filter(({ revision }) => revision === FOREIGN);
    expect(bad?.key).toBe('thing/B\u00e9 \u001b');
    await expect(store.delete('thing/good', FOREIGN)).rejects.toMatchObject({ code: 'STORE_CONFLICT' });
    await store.delete(bad?.key ?? '', FOREIGN);
    expect((await store.list('thing/')).map(({ key }) => key)).toEqual(['thing/good']);
  });

  it('damaged - whoever watches hears of the others, and a revision of the far future stops nobody', async () => {
    const store = await damaged(`${SET} revision = 4000000000 ${BAD}`);
    const stop = new AbortController();
    const seen: string[] = [];
    const watching = (async () => {
      for await (const { key } of store.watch('thing/', stop.signal)) {
        seen.push(key);
        if (key === 'thing/late') stop.abort();
      }
    })();
    await store.put('thing/late', 1, 0);
    await watching;
    expect(seen).toEqual(['thing/good', 'thing/late']);
  });

  it('damaged - a lease that would never expire does not keep the next holder out', async () => {
    const store = await damaged();
    const lease = await store.lease('controller', 'one', 1000);
    expect(await store.lease('controller', 'two', 1000)).toBe(null);
    await store.close();
    const path = join(folder, `store-${lives}.db`);
    const copy = join(folder, 'copy.db');
    const database = new DatabaseSync(path);
    database.exec(`UPDATE lease SET expiresMs = 1e300; VACUUM INTO '${copy}'`);
    database.close();
    const next = await openSqliteStore(copy);
    open.push(next);
    expect((await next.lease('controller', 'two', 1000))?.epoch).toBe((lease?.epoch ?? 0) + 1);
  });

  it.each(['UPDATE counter SET revision = 9223372036854775807', 'UPDATE counter SET revision = -1'])(
    'damaged - without its counter it is refused, with what to do: %s',
    async (statement) => {
      await expect(damaged(statement)).rejects.toMatchObject({
        code: 'STORE_FAILED',
        message: expect.stringContaining('counter of revisions'),
      });
    },
  );
});
