// What may be asked of the storage node's records and files from outside while no node runs, or another process runs
// it.
import { join } from 'node:path';
import { codeOf } from '../base/mod.ts';
import type { Store } from '../store/mod.ts';
import { type DaemonPaths, daemonPaths } from './daemon/mod.ts';
import { storageRecordFlaw } from './record-flaw.ts';
import type { VolumeRecord } from './records.ts';

const VOLUMES = 'storage/volume/';

/** Files of the daemon that holds the volumes. @param state the state folder of the controller */
export function storagePaths(state: string): DaemonPaths {
  return daemonPaths(join(state, 'node'));
}

/**
 * Backups that records know of, one that is being made or deleted included. Records that cannot be used know of none.
 * @throws STORE_FAILED
 */
export async function recordedBackups(
  store: Store,
): Promise<readonly { readonly volume: string; readonly engagement: string }[]> {
  const records = await store.list<VolumeRecord>(VOLUMES);
  return records.flatMap((record) => {
    const { key } = record;
    const value = readable(() => record.value);
    if (value === null || storageRecordFlaw(key, value) !== null) return [];
    const engagements = value.backups.map(({ engagement }) => engagement);
    if (value.step !== null) engagements.push(value.step.engagement);
    return engagements.map((engagement) => ({ volume: key.slice(VOLUMES.length), engagement }));
  });
}

/** null: what is stored is not a value. */
function readable<T>(read: () => T): T | null {
  try {
    return read();
  } catch (error) {
    if (codeOf(error) !== 'RECORD_UNUSABLE') throw error;
    return null;
  }
}
