// A file while it is written: NAME.partial, readable by its owner alone, beside a record that names it; NAME only when the
// image is complete and durable.
import {
  type BigIntStats,
  closeSync,
  fchmodSync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  lstatSync,
  renameSync,
  unlinkSync,
} from 'node:fs';
import { basename, dirname } from 'node:path';
import { codeOf, errnoOf, messageOf, UnderstudyError } from '../../base/mod.ts';
import { renameNoReplace } from '../../linux/mod.ts';
import type { Device } from '../device/contract.ts';
import { fileError, openFileDevice } from '../device/file.ts';
import { growingFile } from './growing-file.ts';
import { namesOpenFile, openLocked } from './lock.ts';
import { givePermissions, refuseLostOwner } from './permissions.ts';
import { partialPath, recordPathForFile } from './provisional-name.ts';
import { proveRecord, type Resumption } from './resume-proof.ts';
import { loadRecord, removeRecord, syncFolder } from './resume-record.ts';
import { claimRoom } from './room.ts';
import type { FileSpec, Target } from './spec.ts';

const PRIVATE_MODE = 0o600;

/** @throws TARGET_BUSY, TARGET_PARTIAL_FOREIGN, TARGET_PERMISSION (the owner cannot be kept) and open errors */
export function openFileTarget(spec: FileSpec, resume: boolean): Target {
  const partial = partialPath(spec.path);
  const recordPath = recordPathForFile(spec.path);
  dropSecondName(partial, spec.path);
  const fd = openLocked(partial, spec.uri);
  let device: Device;
  let resumption: Resumption | null = null;
  const stats = fstatSync(fd, { bigint: true });
  const isNamedBy = (record: { target: string }): boolean => isSameFile(record.target, stats);
  try {
    refuseForeign(partial, stats, recordPath);
    refuseLostOwner(fd, spec);
    const file = openFileDevice({ path: `/proc/self/fd/${fd}`, uri: spec.uri, role: 'target', direct: spec.direct });
    device = growingFile(file);
    if (resume) resumption = proveRecord({ device, recordPath, isNamedBy, firstBlockLast: false });
  } catch (cause) {
    // An empty file of this name is ours, whoever of us made it; it is gone again before its lock is.
    if (stats.size === 0n && isOwn(stats) && namesOpenFile(partial, fd)) unlinkSync(partial);
    closeSync(fd);
    throw cause instanceof UnderstudyError ? cause : fileError('target', `prepare ${partial}`, errnoOf(cause), cause);
  }
  const notes: string[] = [];
  const goesOn = resumption !== null && resumption.record !== null;
  let releaseRoom = (): void => undefined;
  let open = true;
  return {
    device,
    readsZero: !goesOn,
    recordPath,
    stamp: stampOf(stats),
    resumption,
    notes,
    begin(imageBytes, dataBytes) {
      if (dataBytes !== null) releaseRoom = claimRoom({ uri: spec.uri, partial, bytes: dataBytes });
      begin(fd, partial, goesOn, imageBytes);
    },
    finish(imageBytes) {
      finish(fd, partial, spec, imageBytes, notes);
    },
    discard() {
      // In this order: a provisional file without a record would be somebody else's.
      if (namesOpenFile(partial, fd)) unlinkSync(partial);
      removeRecord(recordPath);
    },
    close() {
      if (!open) return;
      open = false;
      releaseRoom();
      device.close();
      closeSync(fd);
    },
  };
}

/** What a record says of a file: its device, inode, and time of birth, which is 0 where the file system does not keep it. */
function stampOf({ dev, ino, birthtimeNs }: BigIntStats): string {
  return `file:${dev}:${ino}:${birthtimeNs}`;
}

/** Device numbers of file systems may change when the machine starts again; inode and time of birth stay. */
function isSameFile(stamp: string, stats: BigIntStats): boolean {
  if (stamp === stampOf(stats)) return true;
  return stats.birthtimeNs !== 0n && stamp.endsWith(`:${stats.ino}:${stats.birthtimeNs}`);
}

/** A copy that was killed while it gave the final name by link(2) and unlink(2) leaves one file with both names. */
function dropSecondName(partial: string, path: string): void {
  const [second, first] = [partial, path].map((name) => lstatSync(name, { throwIfNoEntry: false }));
  if (first === undefined || second === undefined) return;
  if (first.isFile() && first.ino === second.ino && first.dev === second.dev) unlinkSync(partial);
}

function isOwn({ uid, nlink }: BigIntStats): boolean {
  return nlink === 1n && uid === BigInt(process.geteuid?.() ?? 0);
}

/** Only what a copy of ours has made may be overwritten without a question. @throws TARGET_PARTIAL_FOREIGN */
function refuseForeign(partial: string, stats: BigIntStats, recordPath: string): void {
  if (isProvisional(stats, recordPath)) return;
  throw new UnderstudyError(
    'TARGET_PARTIAL_FOREIGN',
    `${partial} is in the way: no record says that an interrupted copy made it; move it away, or remove it`,
  );
}

/**
 * Whether an interrupted copy made a file with a provisional name: a record names it, or it has nothing in it yet (the
 * record comes before the first byte), or there is a record that does not tell, because it is damaged or was made by a version
 * that did not write that down.
 */
export function isProvisional(stats: BigIntStats, recordPath: string): boolean {
  if (!stats.isFile() || stats.nlink !== 1n) return false;
  const isPrivate = isOwn(stats) && (stats.mode & 0o777n) === BigInt(PRIVATE_MODE);
  if (stats.size === 0n && isPrivate) return true;
  try {
    return isSameFile(loadRecord(recordPath).target, stats);
  } catch (error) {
    const code = codeOf(error);
    if (code === 'RESUME_RECORD_INVALID') return isPrivate;
    if (code !== 'RESUME_NO_RECORD') return false;
    return isOwn(stats) && lstatSync(recordPath, { throwIfNoEntry: false })?.isFile() === true;
  }
}

function begin(fd: number, partial: string, goesOn: boolean, imageBytes: number | null): void {
  try {
    fchmodSync(fd, PRIVATE_MODE);
    if (!goesOn) ftruncateSync(fd, 0);
    if (imageBytes !== null) ftruncateSync(fd, imageBytes);
  } catch (cause) {
    throw fileError('target', `prepare ${partial}`, errnoOf(cause), cause);
  }
}

function finish(fd: number, partial: string, spec: FileSpec, imageBytes: number, notes: string[]): void {
  try {
    ftruncateSync(fd, imageBytes);
    givePermissions(fd, partial, spec, notes);
    // Once for content, size, owner and permissions: the name must not outlive a power cut that they do not.
    fsyncSync(fd);
    takeName(partial, spec);
    syncFolder(dirname(spec.path));
  } catch (cause) {
    if (cause instanceof UnderstudyError) {
      fchmodSync(fd, PRIVATE_MODE);
      throw cause;
    }
    const message = `finish ${basename(spec.path)}: ${messageOf(cause)}`;
    throw new UnderstudyError('TARGET_FLUSH_FAILED', message, { cause });
  }
}

/**
 * Gives the final name. A name that was free is taken only if it still is, by the kernel itself. A file that is replaced is
 * looked at immediately before rename(2), which has no way to say which file it may replace: one that takes the name within
 * those microseconds is replaced.
 */
function takeName(partial: string, { path, uri, replaces }: FileSpec): void {
  const now = replaces === null ? undefined : lstatSync(path, { throwIfNoEntry: false });
  if (now !== undefined && now.ino === replaces?.ino && now.dev === replaces.dev) {
    renameSync(partial, path);
    return;
  }
  if (now === undefined && renameNoReplace(partial, path)) return;
  throw new UnderstudyError(
    'TARGET_NOT_CONFIRMED',
    `${uri} appeared during the copy and was not replaced; the complete image is ${partial}; use --resume --yes to replace it`,
  );
}
