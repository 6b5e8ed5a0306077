// What lies beside the volumes: it must not be in the state folder, and it must agree with the store.
import type { Check } from '../../src/cli/mod.ts';
import type { Configuration } from '../../src/config/mod.ts';
import { earlierStorageFolder, hasEarlierFolder, stampsIn } from '../../src/storage/mod.ts';
import { checked, failure } from './check.ts';

export async function* examineStamps({ state, storage, volumes }: Configuration): AsyncIterable<Check> {
  yield checked('stamps', storage.folder, 'let the user of the controller run doctor', async () => {
    if (hasEarlierFolder(state)) {
      const from = earlierStorageFolder(state);
      return failure(
        `backups lie in ${from}, and are lost with the state folder`,
        'understudy up moves them at its start',
      );
    }
    const { unsettled, epoch } = await stampsIn(storage.folder, [...volumes.values()]).floor();
    if (unsettled !== null) return failure(unsettled, 'end understudy up, and run understudy recover');
    return epoch === 0 ? 'understudy up makes them at its start' : 'volumes and store agree, as of the last start';
  });
}
