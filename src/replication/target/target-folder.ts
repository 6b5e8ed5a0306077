// The folder of a file target, held open: every name in it is looked up in this very folder (openat(2), by way of the
// folder's descriptor in /proc), wherever its path leads by then. Others may be able to write the folder.
import {
  type BigIntStats,
  closeSync,
  constants,
  fstatSync,
  fsyncSync,
  lstatSync,
  openSync,
  readlinkSync,
  unlinkSync,
} from 'node:fs';
import { basename } from 'node:path';
import { errnoOf, isOpenToOthers, UnderstudyError } from '../../base/mod.ts';
import { fileError } from '../device/file.ts';

/** Never through a link, and without waiting for the other end of a pipe. */
const PLAINLY = constants.O_NOFOLLOW | constants.O_NONBLOCK;
const PRIVATE_MODE = 0o600;

/** A folder as it was when it was looked at. */
export interface FolderFacts {
  readonly dev: number;
  readonly ino: number;
}

export class TargetFolder {
  /** Absolute, without links. */
  readonly path: string;
  /** Whether users other than this one and root can make, rename or remove files in it. */
  readonly isOpenToOthers: boolean;
  /** Its owner. */
  readonly uid: number;
  readonly #fd: number;
  #open = true;

  /** @param facts of the folder that was looked at; null: any @throws TARGET_UNSAFE when another one has its path */
  constructor(path: string, facts: FolderFacts | null) {
    this.path = path;
    try {
      this.#fd = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
    } catch (cause) {
      throw fileError('target', `open the folder ${path}`, errnoOf(cause), cause);
    }
    const stats = fstatSync(this.#fd);
    this.isOpenToOthers = isOpenToOthers(stats);
    this.uid = stats.uid;
    const same = facts === null || (facts.dev === stats.dev && facts.ino === stats.ino);
    if (same && this.isNamed()) return;
    closeSync(this.#fd);
    throw new UnderstudyError(
      'TARGET_UNSAFE',
      `${path} is another folder than when it was checked; nothing was written; name a folder that other users cannot move`,
    );
  }

  /** What a name means in this folder, as a path for system calls. */
  at(name: string): string {
    return `/proc/self/fd/${this.#fd}/${basename(name)}`;
  }

  /** Whether its path still leads to it, straight. */
  isNamed(): boolean {
    return readlinkSync(`/proc/self/fd/${this.#fd}`) === this.path;
  }

  /** A file that was not there before, ours alone; null when something has the name. */
  create(name: string): number | null {
    return this.#openFile(name, PLAINLY | constants.O_RDWR | constants.O_CREAT | constants.O_EXCL, 'EEXIST');
  }

  /** Whatever has the name, but for links; null when nothing has. @throws TARGET_KIND, TARGET_PERMISSION and others */
  openExisting(name: string): number | null {
    return this.#openFile(name, PLAINLY | constants.O_RDWR, 'ENOENT');
  }

  #openFile(name: string, flags: number, expected: string): number | null {
    try {
      return openSync(this.at(name), flags, PRIVATE_MODE);
    } catch (cause) {
      if (errnoOf(cause) === expected) return null;
      const shown = `${this.path}/${basename(name)}`;
      if (errnoOf(cause) === 'ELOOP') throw inTheWay(shown, 'it is a symbolic link', cause);
      throw fileError('target', `create ${shown}`, errnoOf(cause), cause);
    }
  }

  /** Undefined when nothing has the name. */
  look(name: string): BigIntStats | undefined {
    return lstatSync(this.at(name), { bigint: true, throwIfNoEntry: false });
  }

  /** Whether a name is that of an open file. */
  names(name: string, fd: number): boolean {
    const [named, open] = [this.look(name), fstatSync(fd, { bigint: true })];
    return named !== undefined && named.ino === open.ino && named.dev === open.dev;
  }

  unlink(name: string): void {
    unlinkSync(this.at(name));
  }

  /** Makes the names in it durable (fsync(2): a file's own fsync does not). */
  sync(): void {
    fsyncSync(this.#fd);
  }

  /** Idempotent. */
  close(): void {
    if (!this.#open) return;
    this.#open = false;
    closeSync(this.#fd);
  }
}

export function inTheWay(path: string, why: string, cause?: unknown): UnderstudyError {
  const message = `${path} is in the way: ${why}; move it away, or remove it`;
  return new UnderstudyError('TARGET_PARTIAL_FOREIGN', message, { cause });
}
