// Locks that keep two copies off one target: on the provisional file itself, or on a file in the runtime folder for
// storage that has no file beside it. They disappear with their process.
import { closeSync, constants, fstatSync, lstatSync, openSync, readdirSync, unlinkSync } from 'node:fs';
import { errnoOf, UnderstudyError } from '../../base/mod.ts';
import { tryLock } from '../../linux/mod.ts';
import { fileError } from '../device/file.ts';
import { openExisting } from '../ring/mod.ts';

/** Byte of a target's lock file, or of the provisional file itself, that its one copy holds. */
export const LOCK_BYTE = 2 ** 40;
export const LOCK_SUFFIX = '.target';
/** Claims of room (room.ts) are locks with something in them. */
export const ROOM_SUFFIX = '.room';
/**
 * Whoever sweeps holds a lock for microseconds, which must not look like another copy: a refusal is believed the third
 * time.
 */
const SWEEPS_MAX = 2;
const SWEEP_MS = 5;
const pause = new Int32Array(new SharedArrayBuffer(4));

/**
 * Opens or makes a file in a private folder and locks it; the lock is on the inode, so the name is looked at again
 * after taking it. @throws TARGET_BUSY and open errors
 */
export function openLocked(path: string, uri: string): number {
  for (let refusals = 0; ; ) {
    const fd = openOrCreate(path);
    if (!tryLock(fd, LOCK_BYTE)) {
      closeSync(fd);
      refusals += 1;
      if (!mayTryAgain(refusals)) throw new UnderstudyError('TARGET_BUSY', `another copy is writing ${uri}`);
    } else {
      if (namesOpenFile(path, fd)) return fd;
      closeSync(fd);
    }
  }
}

/** Whether a lock that was refused so often is asked for again; waits before it. */
export function mayTryAgain(refusals: number): boolean {
  if (refusals > SWEEPS_MAX) return false;
  Atomics.wait(pause, 0, 0, SWEEP_MS);
  return true;
}

/** Removes the locks and claims of copies that died: nobody holds them any more. */
export function sweepTargetLocks(folder: string): void {
  for (const name of readdirSync(folder)) {
    if (!name.endsWith(LOCK_SUFFIX) && !name.endsWith(ROOM_SUFFIX)) continue;
    const path = `${folder}/${name}`;
    const fd = openExisting(path);
    if (fd === null) continue;
    // Held while it is unlinked, as its owner does; a newcomer in between asks again (see SWEEPS_MAX).
    if (tryLock(fd, LOCK_BYTE) && namesOpenFile(path, fd)) unlinkSync(path);
    closeSync(fd);
  }
}

/** Readable by its owner alone: half an image of secrets is secret. */
function openOrCreate(path: string): number {
  try {
    return openSync(path, constants.O_RDWR | constants.O_NOFOLLOW | constants.O_CREAT | constants.O_NONBLOCK, 0o600);
  } catch (cause) {
    throw fileError('target', `create ${path}`, errnoOf(cause), cause);
  }
}

export function namesOpenFile(path: string, fd: number): boolean {
  try {
    const [named, open] = [lstatSync(path), fstatSync(fd)];
    return named.ino === open.ino && named.dev === open.dev;
  } catch (cause) {
    if (errnoOf(cause) === 'ENOENT') return false;
    throw cause;
  }
}
