// Backups of spares' disks that no record knows: after the records were lost, each may be the only copy of a disk.
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { shown } from '../../src/base/mod.ts';
import type { Check } from '../../src/cli/mod.ts';
import type { Configuration } from '../../src/config/mod.ts';
import { recordedBackups } from '../../src/storage/mod.ts';
import { openSqliteStore } from '../../src/store/mod.ts';
import { checked, failure } from './check.ts';

const REMEDY =
  'do not delete them: each may be the only copy of a disk; end understudy up, and run understudy recover ' +
  '(docs/operations.md, "When the store is lost")';
const IMAGE_END = '.raw';

export async function* examineBackups(configuration: Configuration): AsyncIterable<Check> {
  const { folder } = configuration.storage;
  yield checked('backups', folder, REMEDY, async () => {
    const found = backupsIn(folder, new Set(configuration.volumes.keys()));
    if (found.length === 0) return 'there are none';
    const recorded = await recordedIn(configuration);
    const orphans = found.filter((one) => !recorded.has(one));
    if (orphans.length === 0) return `${found.length}, all of them recorded`;
    return failure(`no record knows of ${shown(orphans.join(', '))}`, REMEDY);
  });
}

/** "wiki-3/spare1.raw" */
function backupsIn(folder: string, volumes: ReadonlySet<string>): readonly string[] {
  if (!existsSync(folder)) return [];
  const engagements = readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  return engagements.flatMap(({ name }) =>
    readdirSync(join(folder, name))
      .filter((file) => file.endsWith(IMAGE_END) && volumes.has(file.slice(0, -IMAGE_END.length)))
      .map((file) => `${name}/${file}`),
  );
}

async function recordedIn({ state }: Configuration): Promise<ReadonlySet<string>> {
  const file = join(state, 'store.db');
  if (!existsSync(file)) return new Set();
  const store = await openSqliteStore(file);
  try {
    const known = await recordedBackups(store);
    return new Set(known.map(({ volume, engagement }) => `${engagement}/${volume}${IMAGE_END}`));
  } finally {
    await store.close();
  }
}
