// Where a resume record lies, and by what it is known for one of ours. Where only this user and root can write, a
// checksum is enough. In a folder that others can write, anybody can put a record beside a file; there it is signed
// with a key that lies in this user's own folder.
import { randomBytes } from 'node:crypto';
import { closeSync, constants, fstatSync, mkdirSync, openSync, readFileSync, writeSync } from 'node:fs';
import { homedir } from 'node:os';
import { errnoOf, intrusionOn, isTrusted, lookAlong, shortName } from '../../base/mod.ts';
import { recordPathForFile } from './provisional-name.ts';
import type { TargetFolder } from './target-folder.ts';

const KEY_BYTES = 32;
const KEY_NAME = 'record.key';

export interface RecordPlace {
  /** For system calls. */
  readonly path: string;
  /** For people. */
  readonly shownPath: string;
  /** Null: none is needed. Empty: one is needed, and there is none, so that nothing here is believed. */
  readonly key: Uint8Array | null;
}

/** $XDG_STATE_HOME/understudy, or ~/.local/state/understudy. */
function stateFolder(): string {
  const state = process.env.XDG_STATE_HOME ?? `${homedir()}/.local/state`;
  return `${state}/understudy`;
}

/** The place of a target without a name beside it. */
export function recordOfDevice(key: string): RecordPlace {
  return recordAt(`${stateFolder()}/${shortName(key)}.resume`);
}

/** Where only this user and root write. */
export function recordAt(path: string): RecordPlace {
  return { path, shownPath: path, key: null };
}

/** The place beside a file target. @param path of the target */
export function recordOfFile(folder: TargetFolder, path: string): RecordPlace {
  const shownPath = recordPathForFile(path);
  return { path: folder.at(shownPath), shownPath, key: folder.isOpenToOthers ? signingKey() : null };
}

/** This user's key, made at its first use; empty where this user has no folder that is closed to others. */
function signingKey(): Uint8Array {
  const none = new Uint8Array(0);
  try {
    const folder = stateFolder();
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    if (intrusionOn(lookAlong(folder)) !== null) return none;
    const path = `${folder}/${KEY_NAME}`;
    return readKey(path) ?? makeKey(path) ?? readKey(path) ?? none;
  } catch (cause) {
    if (errnoOf(cause) === null) throw cause;
    return none;
  }
}

function readKey(path: string): Uint8Array | null {
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (cause) {
    if (errnoOf(cause) === 'ENOENT') return null;
    throw cause;
  }
  try {
    const { uid, mode } = fstatSync(fd);
    const key = isTrusted(uid) && (mode & 0o077) === 0 ? readFileSync(fd) : new Uint8Array(0);
    return key.byteLength === KEY_BYTES ? key : new Uint8Array(0);
  } finally {
    closeSync(fd);
  }
}

/** Null when another process was faster. */
function makeKey(path: string): Uint8Array | null {
  try {
    const fd = openSync(path, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW, 0o600);
    const key = randomBytes(KEY_BYTES);
    writeSync(fd, key);
    closeSync(fd);
    return key;
  } catch (cause) {
    if (errnoOf(cause) === 'EEXIST') return null;
    throw cause;
  }
}
