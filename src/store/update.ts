// Read, compute, compare and set: the one way to change a record that others change too.
import { codeOf, UnderstudyError } from '../base/mod.ts';
import type { Json, Store, StoredRecord } from './contract.ts';

/** Each try that fails is somebody else's success; whoever loses so often in a row competes with too many. */
const TRIES_MAX = 500;

/**
 * Changes a record, again from the start when somebody else has changed it meanwhile.
 * @param change makes the new value of the old one (null: there is none); null deletes the record, and the very value
 *   that was given leaves it as it is and writes nothing. It may be called several times, so it does nothing else; it
 *   may throw, and then nothing is written
 * @returns the record as it is now, or null when there is none
 * @throws STORE_CONFLICT after very many tries, STORE_INVALID, STORE_FAILED, RECORD_UNUSABLE, and whatever `change`
 *   throws
 */
export async function update<T = Json>(
  store: Store,
  key: string,
  change: (value: T | null) => T | null | Promise<T | null>,
): Promise<Omit<StoredRecord<T>, 'text'> | null> {
  for (let tries = 0; tries < TRIES_MAX; tries += 1) {
    const found = await store.get<T>(key);
    const value = await change(found?.value ?? null);
    if (value === (found?.value ?? null)) return found;
    const revision = await tryWrite(store, key, value, found?.revision ?? 0);
    if (revision !== null) return value === null ? null : { key, value, revision };
  }
  throw new UnderstudyError('STORE_CONFLICT', `${key} was changed by others during each of ${TRIES_MAX} tries`);
}

/** null: somebody else was first. */
async function tryWrite(store: Store, key: string, value: unknown, expected: number): Promise<number | null> {
  try {
    if (value !== null) return await store.put(key, value, expected);
    await store.delete(key, expected);
    return expected;
  } catch (error) {
    if (codeOf(error) === 'STORE_CONFLICT') return null;
    throw error;
  }
}
