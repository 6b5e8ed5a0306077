// What survives a killed copy: which blocks are durable on the target, with their digests, of which source they are, and
// which target that is. Only flushed blocks count. Written beside the old record and renamed over it, so that there is
// always a whole one.
//
//   line 1: JSON (RecordHead)   then: bitmap, digests (16 bytes a block), SHA-256 of all before
import { createHmac, type Hash, type Hmac } from 'node:crypto';
import {
  closeSync,
  constants,
  fstatSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { errnoOf, isTrusted, limits, sha256, UnderstudyError } from '../../base/mod.ts';
import type { RecordPlace } from './record-place.ts';

/** 2 names the target; a record of version 1 could have been made on any disk that had the device's name. */
export const RECORD_VERSION = 2;
const HASH_BYTES = 32;
const HEAD_BYTES_MAX = 64 * limits.KIB;
/** A bit and a digest for each block, and what stands around them. */
const RECORD_BYTES_MAX = HEAD_BYTES_MAX + limits.BLOCKS_MAX * 17 + HASH_BYTES;

export interface RecordHead {
  readonly version: number;
  /** The target itself, not its name: Target.stamp. */
  readonly target: string;
  readonly sourceIdentity: string;
  readonly fingerprint: string;
  readonly sourceBytes: number;
  readonly endBytes: number;
  readonly blockBytes: number;
  readonly blockCount: number;
  /** Blocks that were neither written nor zeros of the source. */
  readonly missingCount: number;
}

export interface ResumeRecord extends RecordHead {
  /** One bit a block: durable on the target. */
  readonly done: Uint8Array;
  /** Two 64-bit words a block; zero where not done. */
  readonly digests: Uint8Array;
}

/** What stands at the end of a record: a checksum, with the key of its place where it has one (RFC 2104). */
function sealOf({ key }: RecordPlace): Hash | Hmac {
  return key === null ? sha256() : createHmac('sha256', key);
}

/** Durable when it returns, under its name too. @throws file system errors of Node.js */
export function saveRecord(place: RecordPlace, record: Omit<ResumeRecord, 'version'>): void {
  const { done, digests, ...head } = record;
  const { path } = place;
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  const headLine = Buffer.from(`${JSON.stringify({ ...head, version: RECORD_VERSION })}\n`);
  const hash = sealOf(place).update(headLine).update(done).update(digests).digest();
  const temporary = `${path}.new`;
  const fd = openAfresh(temporary);
  try {
    for (const piece of [headLine, done, digests, hash]) {
      for (let at = 0; at < piece.byteLength; ) at += writeSync(fd, piece, at);
    }
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  renameSync(temporary, path);
  syncFolder(dirname(path));
}

/** A file of our own making: what had the name (a leftover, or somebody's link) is neither followed nor written. */
function openAfresh(path: string): number {
  rmSync(path, { force: true });
  return openSync(path, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW, 0o600);
}

/** Makes the names in a folder durable (fsync(2): a file's own fsync does not). */
export function syncFolder(path: string): void {
  const folder = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
}

/** @throws RESUME_NO_RECORD (none, or one of another version), RESUME_RECORD_INVALID */
export function loadRecord(place: RecordPlace): ResumeRecord {
  const path = place.shownPath;
  const bytes = readRecord(place);
  const newline = bytes.subarray(0, HEAD_BYTES_MAX).indexOf(0x0a);
  const hashAt = bytes.byteLength - HASH_BYTES;
  if (newline === -1 || hashAt <= newline) throw invalid(path, 'it is cut short');
  if (place.key?.byteLength === 0) throw invalid(path, 'others could have written it, and this user has no key');
  const hash = sealOf(place).update(bytes.subarray(0, hashAt)).digest();
  if (!hash.equals(bytes.subarray(hashAt))) throw invalid(path, 'its checksum is wrong');
  const head = parseHead(bytes.subarray(0, newline));
  if (head === null) throw invalid(path, 'its first line is not that of a record');
  if (head.version !== RECORD_VERSION) {
    throw new UnderstudyError('RESUME_NO_RECORD', `the record ${path} is of another version (${head.version})`);
  }
  if (!isSound(head)) throw invalid(path, 'its first line contradicts itself');
  const bitmapBytes = Math.ceil(head.blockCount / 8);
  const doneAt = newline + 1;
  if (doneAt + bitmapBytes + head.blockCount * 16 !== hashAt) throw invalid(path, 'its length does not fit its blocks');
  return {
    ...head,
    done: bytes.subarray(doneAt, doneAt + bitmapBytes),
    digests: bytes.subarray(doneAt + bitmapBytes, hashAt),
  };
}

function parseHead(line: Buffer): RecordHead | null {
  try {
    const head: unknown = JSON.parse(line.toString('utf8'));
    return typeof head === 'object' && head !== null ? (head as RecordHead) : null;
  } catch {
    // Not JSON: somebody else's file.
    return null;
  }
}

function isSound(head: RecordHead): boolean {
  const { target, sourceIdentity, fingerprint, sourceBytes, endBytes, blockBytes, blockCount, missingCount } = head;
  const counts = [sourceBytes, endBytes, blockBytes, blockCount, missingCount];
  const texts = [target, sourceIdentity, fingerprint];
  const sound = counts.every((count) => Number.isSafeInteger(count) && count >= 0);
  return sound && blockBytes > 0 && texts.every((text) => typeof text === 'string');
}

function readRecord({ path, shownPath }: RecordPlace): Buffer {
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (cause) {
    if (errnoOf(cause) === 'ELOOP') throw invalid(shownPath, 'it is a symbolic link');
    if (errnoOf(cause) !== 'ENOENT') throw cause;
    throw new UnderstudyError('RESUME_NO_RECORD', 'there is no record of an interrupted copy');
  }
  try {
    const stats = fstatSync(fd);
    if (!stats.isFile()) throw invalid(shownPath, 'it is not a regular file');
    if (!isTrusted(stats.uid)) throw invalid(shownPath, `it belongs to user ${stats.uid}`);
    if (stats.size > RECORD_BYTES_MAX) throw invalid(shownPath, 'it is too long');
    return readFileSync(fd);
  } finally {
    closeSync(fd);
  }
}

function invalid(path: string, why: string): UnderstudyError {
  return new UnderstudyError('RESUME_RECORD_INVALID', `the record ${path} is damaged: ${why}`);
}

export function removeRecord({ path }: RecordPlace): void {
  for (const name of [path, `${path}.new`]) {
    try {
      rmSync(name, { force: true });
    } catch (cause) {
      // A file where its folder should be: there is no record there.
      if (errnoOf(cause) !== 'ENOTDIR') throw cause;
    }
  }
}
