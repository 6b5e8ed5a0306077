// The records of the controller: is there one that it cannot use. Also while a controller runs: reading changes
// nothing.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { shown } from '../../src/base/mod.ts';
import { type Check, remedyOfRecord } from '../../src/cli/mod.ts';
import type { Configuration } from '../../src/config/mod.ts';
import { unusableRecords } from '../../src/controller/mod.ts';
import { damageOfStore, openSqliteStore } from '../../src/store/mod.ts';
import { checked, failure } from './check.ts';

const SHOWN_MAX = 100;
const REMEDY = 'restore the state folder, or let the user of the controller run doctor';

const LOST =
  'end understudy up, and run understudy recover, which makes it again of what the volumes say (docs/operations.md, ' +
  '"When the store is lost")';

export async function* examineRecords(configuration: Configuration): AsyncIterable<Check> {
  const file = join(configuration.state, 'store.db');
  if (!existsSync(file)) return;
  const found: Check[] = [];
  yield checked('records', file, REMEDY, async () => {
    // Before it is opened as a store, which would make an empty file a good one.
    const damage = await damageOfStore(file);
    if (damage !== null) return failure(`is damaged: ${shown(damage)}`, LOST);
    const store = await openSqliteStore(file);
    try {
      for (const { key, why } of await unusableRecords({ store, config: configuration }, Number.POSITIVE_INFINITY)) {
        found.push({
          check: 'record',
          subject: shown(key),
          state: 'failed',
          detail: `cannot be used: ${shown(why)}`,
          remedy: remedyOf(key),
        });
      }
      return found.length === 0 ? 'all records can be used' : `${found.length} records cannot be used`;
    } finally {
      await store.close();
    }
  });
  yield* found.slice(0, SHOWN_MAX);
}

function remedyOf(key: string): string {
  const { whileRunning, text } = remedyOfRecord(key);
  return whileRunning ? `with a running controller: ${text}` : text;
}
