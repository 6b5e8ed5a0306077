// The user's cache, and folders in it for work. Each is locked by whoever works in it, so that the next one can tell what a killed
// one has left (as much as five disks) from what is in use, and remove it.
import { closeSync, existsSync, mkdirSync, mkdtempSync, openSync, readdirSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { tryLock } from '../src/linux/mod.ts';

const LOCK = '.lock';

/** What is worked for: the copy demo, or the build of guests. */
const PREFIXES = { demo: 'work-', build: 'build-' } as const;
const LOOK_MS = 200;

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
    if (!Object.values(PREFIXES).some((prefix) => name.startsWith(prefix)) || !existsSync(join(folder, LOCK))) continue;
    const descriptor = openSync(join(folder, LOCK), 'r+');
    if (tryLock(descriptor, 0)) rmSync(folder, { recursive: true, force: true });
    closeSync(descriptor);
  }
}

/** Runs `work` in a new folder, which is removed when it ends, and tidies up after those that could not. */
export async function inWorkFolder<T>(
  work: (folder: string) => Promise<T>,
  purpose: keyof typeof PREFIXES = 'demo',
): Promise<T> {
  removeAbandoned();
  const folder = mkdtempSync(join(cacheFolder(), PREFIXES[purpose]));
  const descriptor = openSync(join(folder, LOCK), 'wx+');
  try {
    if (!tryLock(descriptor, 0)) throw new Error(`${folder} was taken by another process; try again`);
    return await work(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
    closeSync(descriptor);
  }
}

/** Runs `work` while nobody else does work of this name, in any process of this user; waits for them. */
export async function oneAtATime<T>(name: string, abort: AbortSignal, work: () => Promise<T>): Promise<T> {
  const descriptor = openSync(join(cacheFolder(), `${name}.lock`), 'a+');
  try {
    while (!tryLock(descriptor, 0)) await delay(LOOK_MS, undefined, { signal: abort });
    return await work();
  } finally {
    closeSync(descriptor);
  }
}
