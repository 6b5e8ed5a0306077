// A target while it is written: locked against a second copy, under a provisional name where names exist, and given its
// final name only when it is complete and durable.
import {
  closeSync,
  constants,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  lstatSync,
  openSync,
  readdirSync,
  renameSync,
  statfsSync,
  unlinkSync,
} from 'node:fs';
import { basename, dirname } from 'node:path';
import { errnoOf, messageOf, shortName, UnderstudyError } from '../../base/mod.ts';
import { tryLock } from '../../linux/mod.ts';
import type { Device } from '../device/contract.ts';
import { fileError, openFileDevice } from '../device/file.ts';
import { openNbdDevice } from '../device/nbd.ts';
import { openExisting, runtimeFolder } from '../ring/mod.ts';
import { recordPathForDevice } from './resume-record.ts';

export interface TargetSpec {
  readonly kind: 'file' | 'block' | 'nbd';
  /** As the user named it. */
  readonly uri: string;
  /** File: absolute path of the final name, links resolved. Block: path of the device. NBD: the URI. */
  readonly path: string;
  /** "file:...", "block:..." or canonical URI; finds locks and resume records. */
  readonly identity: string;
  readonly direct: boolean;
}

export interface Target {
  readonly device: Device;
  /** True while every byte that was never written reads as zero. */
  readonly readsZero: boolean;
  readonly recordPath: string;
  /** Makes the complete image durable under its final name. @throws TARGET_FLUSH_FAILED, TARGET_WRITE_FAILED */
  finish(imageBytes: number): void;
  /** Releases device and lock; a provisional file stays. Idempotent. */
  close(): void;
}

/** Byte of a target's lock file, or of the provisional file itself, that its one copy holds. */
const TARGET_LOCK_BYTE = 2 ** 40;
const LOCK_SUFFIX = '.target';
/** Whoever sweeps holds a lock for microseconds, which must not look like another copy: a refusal is believed the third time. */
const SWEEPS_MAX = 2;
const SWEEP_MS = 5;
const pause = new Int32Array(new SharedArrayBuffer(4));

/**
 * Opens a target for writing `imageBytes` (null while unknown).
 * @throws TARGET_BUSY, TARGET_TOO_SMALL, TARGET_FULL, RESUME_NO_RECORD (resume without a provisional file) and open errors
 */
export function openTarget(spec: TargetSpec, imageBytes: number | null, resume: boolean): Target {
  switch (spec.kind) {
    case 'file':
      return openFileTarget(spec, imageBytes, resume);
    case 'block':
      return openStorageTarget(spec, imageBytes, () =>
        openFileDevice({ path: spec.path, uri: spec.uri, role: 'target', direct: spec.direct, exclusive: true }),
      );
    case 'nbd':
      return openStorageTarget(spec, imageBytes, () => openNbdDevice({ uri: spec.path, role: 'target' }));
  }
}

export function partialPath(path: string): string {
  return `${path}.partial`;
}

function openFileTarget(spec: TargetSpec, imageBytes: number | null, resume: boolean): Target {
  const partial = partialPath(spec.path);
  const fd = lockPartial(partial, resume, spec.uri);
  let device: Device;
  try {
    if (imageBytes !== null) checkRoom(dirname(spec.path), imageBytes, fd, spec.uri);
    if (!resume) ftruncateSync(fd, 0);
    if (imageBytes !== null) ftruncateSync(fd, imageBytes);
    device = openFileDevice({ path: partial, uri: spec.uri, role: 'target', direct: spec.direct });
  } catch (cause) {
    closeSync(fd);
    throw cause instanceof UnderstudyError ? cause : fileError('target', `prepare ${partial}`, errnoOf(cause), cause);
  }
  let open = true;
  return {
    device,
    readsZero: !resume,
    recordPath: `${partial}.resume`,
    finish(bytes) {
      finishFile(fd, partial, spec.path, bytes);
    },
    close() {
      if (!open) return;
      open = false;
      device.close();
      closeSync(fd);
    },
  };
}

/** Opens the provisional file and locks it; the lock is on the inode, so the name is looked at again after taking it. */
function lockPartial(partial: string, resume: boolean, uri: string): number {
  for (let refusals = 0; ; ) {
    const fd = openPartial(partial, resume, uri);
    if (!tryLock(fd, TARGET_LOCK_BYTE)) {
      closeSync(fd);
      refusals += 1;
      if (refusals > SWEEPS_MAX) throw new UnderstudyError('TARGET_BUSY', `another copy is writing ${uri}`);
      Atomics.wait(pause, 0, 0, SWEEP_MS);
    } else {
      if (sameFile(partial, fd)) return fd;
      closeSync(fd);
    }
  }
}

/** Removes the locks of storage targets whose copies died: nobody holds them any more. */
export function sweepTargetLocks(folder: string): void {
  for (const name of readdirSync(folder)) {
    if (!name.endsWith(LOCK_SUFFIX)) continue;
    const path = `${folder}/${name}`;
    const fd = openExisting(path);
    if (fd === null) continue;
    // Held while it is unlinked, as its owner does; a newcomer in between asks again (see SWEEPS_MAX).
    if (tryLock(fd, TARGET_LOCK_BYTE) && sameFile(path, fd)) unlinkSync(path);
    closeSync(fd);
  }
}

function openPartial(partial: string, resume: boolean, uri: string): number {
  try {
    return openSync(partial, constants.O_RDWR | constants.O_NOFOLLOW | (resume ? 0 : constants.O_CREAT), 0o644);
  } catch (cause) {
    if (resume && errnoOf(cause) === 'ENOENT') {
      throw new UnderstudyError(
        'RESUME_NO_RECORD',
        `there is no interrupted copy to ${uri}: ${partial} does not exist`,
      );
    }
    throw fileError('target', `create ${partial}`, errnoOf(cause), cause);
  }
}

function sameFile(path: string, fd: number): boolean {
  try {
    return lstatSync(path).ino === fstatSync(fd).ino;
  } catch (cause) {
    if (errnoOf(cause) === 'ENOENT') return false;
    throw cause;
  }
}

/**
 * Says at once what would otherwise fail after hours. Only what certainly cannot fit is refused here: an image with holes
 * may need far less than its size, and that is told by the caller with `imageBytes` of a source without a map of holes.
 */
function checkRoom(folder: string, imageBytes: number, fd: number, uri: string): void {
  const limit = statfsSync(folder);
  const total = limit.blocks * limit.bsize;
  if (imageBytes > total && fstatSync(fd).size < imageBytes) {
    throw new UnderstudyError(
      'TARGET_TOO_SMALL',
      `${uri}: the whole file system has ${total} bytes, the image ${imageBytes}`,
    );
  }
}

function finishFile(fd: number, partial: string, path: string, bytes: number): void {
  try {
    ftruncateSync(fd, bytes);
    fsyncSync(fd);
    renameSync(partial, path);
    const folder = openSync(dirname(path), constants.O_RDONLY | constants.O_DIRECTORY);
    try {
      fsyncSync(folder);
    } finally {
      closeSync(folder);
    }
  } catch (cause) {
    throw new UnderstudyError('TARGET_FLUSH_FAILED', `finish ${basename(path)}: ${messageOf(cause)}`, { cause });
  }
}

/** Targets that are storage already: nothing to rename, but a size of their own. */
function openStorageTarget(spec: TargetSpec, imageBytes: number | null, open: () => Device): Target {
  const lockPath = `${runtimeFolder()}/${shortName(spec.identity)}${LOCK_SUFFIX}`;
  const fd = lockPartial(lockPath, false, spec.uri);
  let device: Device;
  try {
    device = open();
  } catch (error) {
    unlinkSync(lockPath);
    closeSync(fd);
    throw error;
  }
  let isOpen = true;
  const close = (): void => {
    if (!isOpen) return;
    isOpen = false;
    device.close();
    // Unlinked before the lock is dropped: whoever locks the old inode in between sees that the name has gone.
    unlinkSync(lockPath);
    closeSync(fd);
  };
  const { sizeBytes } = device.info;
  if (imageBytes !== null && sizeBytes !== null && sizeBytes < imageBytes) {
    close();
    throw new UnderstudyError('TARGET_TOO_SMALL', `${spec.uri} has ${sizeBytes} bytes, ${imageBytes} are to be copied`);
  }
  return { device, readsZero: false, recordPath: recordPathForDevice(spec.identity), finish() {}, close };
}
