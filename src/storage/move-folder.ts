// The storage folder of earlier versions lay in the state folder. It is moved once, before anything else is done.
import { existsSync, mkdirSync, readdirSync, renameSync, rmdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { messageOf, UnderstudyError } from '../base/mod.ts';

/** Where earlier versions had backups and overlays, when the configuration named no folder. */
export function earlierStorageFolder(state: string): string {
  return join(state, 'storage');
}

/** Whether there is something to be moved. */
export function hasEarlierFolder(state: string): boolean {
  const from = earlierStorageFolder(state);
  return existsSync(from) && readdirSync(from).length > 0;
}

/**
 * Moves what is there, by renaming: nothing is copied, and nothing that exists is overwritten. @returns whether
 * something was moved
 * @throws STORAGE_FAILED with what to do, when it cannot be moved
 */
export function moveEarlierFolder(state: string, folder: string): boolean {
  const from = earlierStorageFolder(state);
  if (!hasEarlierFolder(state)) return false;
  const fail = (why: string, cause?: unknown): never => {
    throw new UnderstudyError(
      'STORAGE_FAILED',
      `the backups in ${from} cannot be moved to ${folder}, out of the state folder: ${why}; move them by hand: mv ${from} ${folder}`,
      { cause },
    );
  };
  try {
    if (!existsSync(folder)) {
      mkdirSync(dirname(folder), { recursive: true, mode: 0o700 });
      renameSync(from, folder);
      return true;
    }
    const names = readdirSync(from);
    const taken = names.find((name) => existsSync(join(folder, name)));
    if (taken !== undefined) fail(`${join(folder, taken)} exists`);
    for (const name of names) renameSync(join(from, name), join(folder, name));
    rmdirSync(from);
    return true;
  } catch (cause) {
    if (cause instanceof UnderstudyError) throw cause;
    return fail(messageOf(cause), cause);
  }
}
