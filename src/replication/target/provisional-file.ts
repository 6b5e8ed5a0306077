// NAME.partial: bytes go only into a file that this process has just made, or into one that a record of ours says an
// interrupted copy made. Whatever else has the name was put there by somebody else.
import { type BigIntStats, closeSync, fstatSync, lstatSync } from 'node:fs';
import { codeOf, UnderstudyError } from '../../base/mod.ts';
import { tryLock } from '../../linux/mod.ts';
import { LOCK_BYTE, mayTryAgain } from './lock.ts';
import type { RecordPlace } from './record-place.ts';
import { loadRecord } from './resume-record.ts';
import { inTheWay, type TargetFolder } from './target-folder.ts';

const PRIVATE_MODE = 0o600n;

export interface Provisional {
  /** Open for reading and writing, and locked. */
  readonly fd: number;
  /** Made just now. */
  readonly fresh: boolean;
}

/**
 * Makes the file, or opens the one that an interrupted copy left. The lock is on the inode, so the name is looked at
 * again after taking it. @throws TARGET_BUSY, TARGET_PARTIAL_FOREIGN and open errors
 */
export function openProvisional(folder: TargetFolder, name: string, place: RecordPlace, uri: string): Provisional {
  for (let refusals = 0; ; ) {
    const fresh = folder.create(name);
    const fd = fresh ?? folder.openExisting(name);
    if (fd === null) continue;
    try {
      if (fresh === null) refuseForeign(`${folder.path}/${name}`, fd, place);
      if (tryLock(fd, LOCK_BYTE) && folder.names(name, fd)) return { fd, fresh: fresh !== null };
      refusals += 1;
    } catch (error) {
      closeSync(fd);
      throw error;
    }
    closeSync(fd);
    if (!mayTryAgain(refusals)) throw new UnderstudyError('TARGET_BUSY', `another copy is writing ${uri}`);
  }
}

/** Puts a file of our own in the place of a locked one that is not gone on with, and lets go of that one. */
export function makeAfresh(folder: TargetFolder, name: string, place: RecordPlace, uri: string, old: number): number {
  try {
    if (folder.names(name, old)) folder.unlink(name);
    return openProvisional(folder, name, place, uri).fd;
  } finally {
    closeSync(old);
  }
}

function refuseForeign(path: string, fd: number, place: RecordPlace): void {
  const stats = fstatSync(fd, { bigint: true });
  if (!stats.isFile()) throw inTheWay(path, 'it is not a regular file');
  if (isProvisional(stats, place)) return;
  throw inTheWay(path, 'no record says that an interrupted copy made it');
}

/**
 * What a record says of a file: its device, inode, and time of birth, which is 0 where the file system does not keep
 * it.
 */
export function stampOf({ dev, ino, birthtimeNs }: BigIntStats): string {
  return `file:${dev}:${ino}:${birthtimeNs}`;
}

/** Device numbers of file systems may change when the machine starts again; inode and time of birth stay. */
export function isSameFile(stamp: string, stats: BigIntStats): boolean {
  if (stamp === stampOf(stats)) return true;
  return stats.birthtimeNs !== 0n && stamp.endsWith(`:${stats.ino}:${stats.birthtimeNs}`);
}

export function isOwn({ uid, nlink }: BigIntStats): boolean {
  return nlink === 1n && uid === BigInt(process.geteuid?.() ?? 0);
}

/**
 * Whether an interrupted copy of this user made a file with a provisional name. It is this user's, has no other name,
 * and nobody else may read or write it; and a record names it, or it has nothing in it yet (the record comes before the
 * first byte), or there is a record that does not tell, because it is damaged or was made by a version that did not
 * write that down.
 */
export function isProvisional(stats: BigIntStats, place: RecordPlace): boolean {
  if (!stats.isFile() || !isOwn(stats) || (stats.mode & 0o777n) !== PRIVATE_MODE) return false;
  if (stats.size === 0n) return true;
  try {
    return isSameFile(loadRecord(place).target, stats);
  } catch (error) {
    const code = codeOf(error);
    if (code === 'RESUME_RECORD_INVALID') return true;
    return code === 'RESUME_NO_RECORD' && hasRecord(place);
  }
}

/** One of another version: no record at all tells nothing. */
function hasRecord(place: RecordPlace): boolean {
  return lstatSync(place.path, { throwIfNoEntry: false })?.isFile() === true;
}
