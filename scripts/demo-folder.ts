// Folders of the demo in the user's cache. Each is locked by whoever works in it, so that the next demo can tell what a killed
// one has left (as much as five disks) from what is in use, and remove it.
import { closeSync, existsSync, mkdirSync, mkdtempSync, openSync, readdirSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { tryLock } from '../src/linux/mod.ts';

const LOCK = '.lock';
const PREFIX = 'work-';

/** $XDG_CACHE_HOME/understudy, or ~/.cache/understudy; made if it is not there. */
export function cacheFolder(): string {
  const base = process.env.XDG_CACHE_HOME;
  const folder = join(base !== undefined && base !== '' ? base : join(homedir(), '.cache'), 'understudy');
  mkdirSync(folder, { recursive: true });
  return folder;
}

function removeAbandoned(): void {
  for (const name of readdirSync(cacheFolder())) {
    const folder = join(cacheFolder(), name);
    // One without a lock file is being made at this moment.
    if (!name.startsWith(PREFIX) || !existsSync(join(folder, LOCK))) continue;
    const descriptor = openSync(join(folder, LOCK), 'r+');
    if (tryLock(descriptor, 0)) rmSync(folder, { recursive: true, force: true });
    closeSync(descriptor);
  }
}

/** Runs `work` in a new folder, which is removed when it ends, and tidies up after demos that could not. */
export async function inWorkFolder<T>(work: (folder: string) => Promise<T>): Promise<T> {
  removeAbandoned();
  const folder = mkdtempSync(join(cacheFolder(), PREFIX));
  const descriptor = openSync(join(folder, LOCK), 'wx+');
  try {
    if (!tryLock(descriptor, 0)) throw new Error(`${folder} was taken by another demo; try again`);
    return await work(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
    closeSync(descriptor);
  }
}
