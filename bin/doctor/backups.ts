// Backups of spares' disks that no record knows: after the records were lost, each may be the only copy of a disk.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { shown } from '../../src/base/mod.ts';
import type { Check } from '../../src/cli/mod.ts';
import type { Configuration } from '../../src/config/mod.ts';
import { findBackups, recordedBackups } from '../../src/storage/mod.ts';
import { openSqliteStore } from '../../src/store/mod.ts';
import { checked, failure } from './check.ts';

const REMEDY =
  'do not delete them: each may be the only copy of a disk; end understudy up, and run understudy recover ' +
  '(docs/operations.md, "When the store is lost")';

export async function* examineBackups(configuration: Configuration): AsyncIterable<Check> {
  const { folder } = configuration.storage;
  yield checked('backups', folder, REMEDY, async () => {
    const found = (await findBackups(folder)).filter(({ volume }) => configuration.volumes.has(volume)).map(nameOf);
    if (found.length === 0) return 'there are none';
    const recorded = await recordedIn(configuration);
    const orphans = found.filter((one) => !recorded.has(one));
    if (orphans.length === 0) return `${found.length}, all of them recorded`;
    return failure(`no record knows of ${shown(orphans.join(', '))}`, REMEDY);
  });
}

function nameOf({ volume, engagement }: { readonly volume: string; readonly engagement: string }): string {
  return `${engagement}/${volume}.raw`;
}

async function recordedIn({ state }: Configuration): Promise<ReadonlySet<string>> {
  const file = join(state, 'store.db');
  if (!existsSync(file)) return new Set();
  const store = await openSqliteStore(file);
  try {
    const known = await recordedBackups(store);
    return new Set(known.map(nameOf));
  } finally {
    await store.close();
  }
}
