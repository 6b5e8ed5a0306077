// A file while it is written: NAME.partial, readable by its owner alone, beside a record that names it; NAME only when
// the image is complete and durable.
import { type BigIntStats, closeSync, fchmodSync, fstatSync, fsyncSync, ftruncateSync, renameSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { errnoOf, messageOf, UnderstudyError } from '../../base/mod.ts';
import { renameNoReplace } from '../../linux/mod.ts';
import type { Device } from '../device/contract.ts';
import { fileError, openFileDevice } from '../device/file.ts';
import { growingFile } from './growing-file.ts';
import { givePermissions, refuseLostOwner, takeBack } from './permissions.ts';
import { isOwn, isSameFile, makeAfresh, openProvisional, stampOf } from './provisional-file.ts';
import { partialPath } from './provisional-name.ts';
import { type RecordPlace, recordOfFile } from './record-place.ts';
import { proveRecord, type Resumption } from './resume-proof.ts';
import { removeRecord } from './resume-record.ts';
import { claimRoom } from './room.ts';
import type { FileSpec, Target } from './spec.ts';
import { TargetFolder } from './target-folder.ts';

const PRIVATE_MODE = 0o600;

/**
 * @throws TARGET_BUSY, TARGET_PARTIAL_FOREIGN, TARGET_UNSAFE, TARGET_PERMISSION (the owner cannot be kept) and open
 *   errors
 */
export function openFileTarget(spec: FileSpec, resume: boolean): Target {
  const folder = new TargetFolder(dirname(spec.path), spec.folder);
  try {
    return openIn(folder, spec, resume);
  } catch (error) {
    folder.close();
    throw error;
  }
}

interface Opened {
  readonly fd: number;
  readonly device: Device;
  readonly resumption: Resumption | null;
}

function openIn(folder: TargetFolder, spec: FileSpec, resume: boolean): Target {
  const partial = basename(partialPath(spec.path));
  const record = recordOfFile(folder, spec.path);
  const { fd, device, resumption } = openPartial(folder, partial, record, spec, resume);
  const notes: string[] = [];
  const goesOn = resumption !== null && resumption.record !== null;
  let releaseRoom = (): void => undefined;
  let open = true;
  return {
    device,
    readsZero: !goesOn,
    record,
    stamp: stampOf(fstatSync(fd, { bigint: true })),
    resumption,
    notes,
    begin(imageBytes, dataBytes) {
      const room = { uri: spec.uri, partial: partialPath(spec.path), at: folder.at(partial) };
      if (dataBytes !== null) releaseRoom = claimRoom({ ...room, bytes: dataBytes });
      begin(fd, spec, imageBytes);
    },
    finish(imageBytes) {
      finish(fd, { folder, partial, spec }, imageBytes, notes);
    },
    discard() {
      // In this order: a provisional file without a record would be somebody else's.
      if (folder.names(partial, fd)) folder.unlink(partial);
      removeRecord(record);
    },
    close() {
      if (!open) return;
      open = false;
      releaseRoom();
      device.close();
      closeSync(fd);
      folder.close();
    },
  };
}

/** The provisional file: what an interrupted copy left, if that is gone on with, else one that is made now. */
function openPartial(
  folder: TargetFolder,
  partial: string,
  place: RecordPlace,
  spec: FileSpec,
  resume: boolean,
): Opened {
  dropSecondName(folder, partial, spec.path);
  let { fd, fresh } = openProvisional(folder, partial, place, spec.uri);
  let device: Device | null = null;
  let resumption: Resumption | null = null;
  try {
    refuseLostOwner(fd, spec, folder);
    if (resume) {
      device = deviceOf(fd, spec);
      const stats = fstatSync(fd, { bigint: true });
      const isNamedBy = (record: { target: string }): boolean => isSameFile(record.target, stats);
      resumption = proveRecord({ device, place, isNamedBy, firstBlockLast: false });
    }
    if (!fresh && resumption?.record == null) {
      device?.close();
      device = null;
      fd = makeAfresh(folder, partial, place, spec.uri, fd);
      fresh = true;
    }
    return { fd, device: device ?? deviceOf(fd, spec), resumption };
  } catch (cause) {
    device?.close();
    // An empty file of this name is ours, whoever of us made it; it is gone again before its lock is.
    const stats = fstatSync(fd, { bigint: true });
    if (stats.size === 0n && (fresh || isOwn(stats)) && folder.names(partial, fd)) folder.unlink(partial);
    closeSync(fd);
    const path = `${folder.path}/${partial}`;
    throw cause instanceof UnderstudyError ? cause : fileError('target', `prepare ${path}`, errnoOf(cause), cause);
  }
}

function deviceOf(fd: number, { uri, direct }: FileSpec): Device {
  return growingFile(openFileDevice({ path: `/proc/self/fd/${fd}`, uri, role: 'target', direct }));
}

/** A copy that was killed while it gave the final name by link(2) and unlink(2) leaves one file with both names. */
function dropSecondName(folder: TargetFolder, partial: string, path: string): void {
  const [second, first] = [folder.look(partial), folder.look(path)];
  if (first === undefined || second === undefined) return;
  if (first.isFile() && first.ino === second.ino && first.dev === second.dev) folder.unlink(partial);
}

function begin(fd: number, { path }: FileSpec, imageBytes: number | null): void {
  try {
    fchmodSync(fd, PRIVATE_MODE);
    if (imageBytes !== null) ftruncateSync(fd, imageBytes);
  } catch (cause) {
    throw fileError('target', `prepare ${partialPath(path)}`, errnoOf(cause), cause);
  }
}

interface Names {
  readonly folder: TargetFolder;
  readonly partial: string;
  readonly spec: FileSpec;
}

function finish(fd: number, names: Names, imageBytes: number, notes: string[]): void {
  const { folder, spec } = names;
  const { uid, gid } = fstatSync(fd);
  try {
    ftruncateSync(fd, imageBytes);
    givePermissions(fd, folder, spec, notes);
    // Once for content, size, owner and permissions: the name must not outlive a power cut that they do not.
    fsyncSync(fd);
    takeName(fd, names);
    folder.sync();
  } catch (cause) {
    if (cause instanceof UnderstudyError) {
      takeBack(fd, uid, gid);
      throw cause;
    }
    const message = `finish ${basename(spec.path)}: ${messageOf(cause)}`;
    throw new UnderstudyError('TARGET_FLUSH_FAILED', message, { cause });
  }
}

/**
 * Gives the final name. A name that was free is taken only if it still is, by the kernel itself. A file that is
 * replaced is looked at immediately before rename(2), which has no way to say which file it may replace: one that takes
 * the name within those microseconds is replaced. Nor can it say which file it is to name, so that is looked at before
 * and after.
 */
function takeName(fd: number, { folder, partial, spec }: Names): void {
  const { path, uri, replaces } = spec;
  if (!folder.names(partial, fd)) throw unsafe(`another program moved or removed ${folder.path}/${partial}`, uri);
  const now = folder.look(path);
  const isAgreed = replaces !== null && isReplaced(now, replaces);
  if (isAgreed) renameSync(folder.at(partial), folder.at(path));
  else if (now !== undefined || !renameNoReplace(folder.at(partial), folder.at(path))) {
    throw new UnderstudyError(
      'TARGET_NOT_CONFIRMED',
      `${uri} appeared during the copy and was not replaced; the complete image is ${folder.path}/${partial}; ` +
        'use --resume --yes to replace it',
    );
  }
  if (!folder.names(path, fd)) throw unsafe(`another program put a file of its own in the place of the copy`, uri);
  if (!folder.isNamed()) throw unsafe(`another program moved its folder, ${folder.path}`, uri);
}

function isReplaced(now: BigIntStats | undefined, { dev, ino }: NonNullable<FileSpec['replaces']>): boolean {
  return now !== undefined && Number(now.ino) === ino && Number(now.dev) === dev;
}

function unsafe(what: string, uri: string): UnderstudyError {
  return new UnderstudyError(
    'TARGET_UNSAFE',
    `${uri} is not the copy: ${what} during the copy; copy again, to a folder that other users cannot write`,
  );
}
