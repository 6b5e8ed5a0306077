// Folders of our own for what an operation needs while it runs, and the names of what must outlive a crash.
import { createHash } from 'node:crypto';
import { chmod, lstat, mkdir, mkdtemp, readdir, realpath, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { errnoOf, ownFolder, reasonOf, UnderstudyError } from '../../base/mod.ts';
import { identityFailed } from './tool.ts';

/** Far longer than all time-outs of one operation together: what is older was left by a process that died. */
const STALE_MS = 6 * 60 * 60_000;

export interface ImageName {
  /** Absolute, no links in it. */
  readonly path: string;
  /** The same for all paths of one file or device. */
  readonly key: string;
  /** Not a block device. */
  readonly isFile: boolean;
}

/** @throws IMAGE_UNSUPPORTED when it is no file or block device that exists */
export async function nameImage(image: string): Promise<ImageName> {
  try {
    const path = await realpath(image);
    // e2fsprogs take what follows for options.
    if (path.includes('?')) throw new UnderstudyError('IMAGE_UNSUPPORTED', `${image} lies at a path with a "?" in it`);
    const facts = await stat(path);
    if (!facts.isFile() && !facts.isBlockDevice()) {
      throw new UnderstudyError('IMAGE_UNSUPPORTED', `${image} is neither a file nor a block device`);
    }
    const identity = facts.isFile() ? `file ${facts.dev} ${facts.ino}` : `device ${facts.rdev}`;
    return { path, key: createHash('sha256').update(identity).digest('hex').slice(0, 24), isFile: facts.isFile() };
  } catch (cause) {
    const errno = errnoOf(cause);
    if (errno === null) throw cause;
    throw new UnderstudyError('IMAGE_UNSUPPORTED', `${image} cannot be opened: ${reasonOf(errno)}`, { cause });
  }
}

export class WorkFolder {
  readonly path: string;

  /**
   * @param path absolute; made when it is missing. Null: below this user's in the folder for temporary files, which is
   *   not the reader's to have: root's next call knows its folder by its owner @throws RING_FOLDER
   */
  constructor(path: string | null) {
    this.path = path ?? join(ownFolder(tmpdir(), `understudy-identity-${process.geteuid?.() ?? 0}`), 'work');
  }

  /** Private, and ours; leftovers of processes that died are removed. @throws IDENTITY_FAILED */
  async prepare(): Promise<void> {
    await mkdir(this.path, { recursive: true, mode: 0o700 });
    const facts = await lstat(this.path);
    if (!facts.isDirectory() || facts.uid !== process.geteuid?.()) {
      throw identityFailed(`${this.path} is not a folder of this user`);
    }
    if ((facts.mode & 0o077) !== 0) await chmod(this.path, 0o700);
    for (const name of await readdir(this.path)) {
      if (name.startsWith('work-')) await this.#removeStale(join(this.path, name));
    }
  }

  /** An empty folder for one operation; the caller removes it. */
  make(purpose: string): Promise<string> {
    return mkdtemp(join(this.path, `work-${purpose}-`));
  }

  /** Ends what an operation on this image left when its process died: the next one knows that it is alone with it. */
  async removeLeftovers(purpose: string): Promise<void> {
    for (const name of await readdir(this.path)) {
      if (name.startsWith(`work-${purpose}-`)) await rm(join(this.path, name), { recursive: true, force: true });
    }
  }

  async #removeStale(path: string): Promise<void> {
    try {
      const age = Date.now() - (await lstat(path)).mtimeMs;
      if (age > STALE_MS) await rm(path, { recursive: true, force: true });
    } catch (error) {
      // Somebody else removed it first.
      if (errnoOf(error) !== 'ENOENT') throw error;
    }
  }
}
