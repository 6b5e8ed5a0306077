// The state folder: one process at a time has it, and nothing of it is touched before.
import { closeSync, mkdirSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { UnderstudyError } from '../src/base/mod.ts';
import type { Configuration } from '../src/config/mod.ts';
import { tryLock } from '../src/linux/mod.ts';
import { moveEarlierFolder } from '../src/storage/mod.ts';

const LOCK = 'up.lock';

export function lockPath({ state }: Pick<Configuration, 'state'>): string {
  return join(state, LOCK);
}

export function storePath({ state }: Pick<Configuration, 'state'>): string {
  return join(state, 'store.db');
}

/**
 * Makes the folder, takes it for this process until it ends, however it ends, and moves the storage folder of earlier
 * versions out of it. @returns what gives it back
 * @throws CONTROLLER_RUNNING, STORAGE_FAILED
 */
export function takeState(configuration: Configuration, say: (line: string) => void): () => void {
  const { state, storage } = configuration;
  mkdirSync(state, { recursive: true, mode: 0o700 });
  const descriptor = openSync(lockPath(configuration), 'a+', 0o600);
  const release = (): void => closeSync(descriptor);
  try {
    if (!tryLock(descriptor, 0)) throw new UnderstudyError('CONTROLLER_RUNNING', `another process serves ${state}`);
    if (moveEarlierFolder(state, storage.folder)) {
      say(`backups are now in ${storage.folder}, out of the state folder`);
    }
    return release;
  } catch (error) {
    release();
    throw error;
  }
}
