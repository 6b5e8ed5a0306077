// Where the processes of one user find each other: rings, locks of targets, claims of room.
import { lstatSync, mkdirSync, statfsSync } from 'node:fs';
import { errnoOf, intrusionOn, lookAlong, ownFolder, reasonOf, UnderstudyError } from '../../base/mod.ts';

const SHARED_MEMORY = '/dev/shm';
/**
 * Made by root for users that are to have a place of their own (tmpfiles.d(5)); rings lie in memory, so only on a
 * tmpfs.
 */
const MADE_BY_ROOT = '/run/understudy';
/** statfs(2), f_type. */
const TMPFS_MAGIC = 0x01021994;

/**
 * `UNDERSTUDY_RUNTIME_DIR`; /run/understudy/UID where root has made that; a folder of this user's in /dev/shm. It has
 * mode 0700.
 * @throws RING_FOLDER when it is somebody else's, RING_MEMORY when it cannot be made
 */
export function runtimeFolder(): string {
  const named = process.env.UNDERSTUDY_RUNTIME_DIR;
  if (named !== undefined) return requirePrivate(named);
  const uid = process.geteuid?.() ?? 0;
  const made = `${MADE_BY_ROOT}/${uid}`;
  if (isMadeByRoot(made, uid)) return made;
  try {
    return ownFolder(SHARED_MEMORY, `understudy-${uid}`);
  } catch (cause) {
    if (errnoOf(cause) === null) throw cause;
    throw cannotBeMade(SHARED_MEMORY, cause);
  }
}

function requirePrivate(folder: string): string {
  try {
    mkdirSync(folder, { mode: 0o700 });
  } catch (cause) {
    if (errnoOf(cause) !== 'EEXIST') throw cannotBeMade(folder, cause);
  }
  const stats = lstatSync(folder);
  if (!stats.isDirectory() || stats.uid !== process.geteuid?.() || (stats.mode & 0o077) !== 0) {
    throw new UnderstudyError('RING_FOLDER', `${folder} must be a folder of this user with mode 0700`);
  }
  return folder;
}

function cannotBeMade(folder: string, cause: unknown): UnderstudyError {
  return new UnderstudyError(
    'RING_MEMORY',
    `the folder for shared memory, ${folder}, cannot be made: ${reasonOf(errnoOf(cause) ?? '')}; ` +
      'mount a tmpfs at /dev/shm, or name a folder on another one in UNDERSTUDY_RUNTIME_DIR',
    { cause },
  );
}

function isMadeByRoot(path: string, uid: number): boolean {
  const facts = lstatSync(path, { throwIfNoEntry: false });
  if (facts?.isDirectory() !== true || facts.uid !== uid || (facts.mode & 0o077) !== 0) return false;
  return intrusionOn(lookAlong(path)) === null && statfsSync(path).type === TMPFS_MAGIC;
}
