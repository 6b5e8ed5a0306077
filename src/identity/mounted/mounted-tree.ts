// A mounted file system of an image as a tree of nodes by path. The kernel would follow a link above a path's end, and out of the
// image: so each folder above is looked at first, from the root down. The mount is private, so nothing changes between two calls but
// by us.
import {
  closeSync,
  constants,
  createReadStream,
  lstatSync,
  openSync,
  readdirSync,
  readlinkSync,
  readSync,
  type Stats,
} from 'node:fs';
import { errnoOf, UnderstudyError } from '../../base/mod.ts';
import { attributesOf } from '../../linux/mod.ts';
import { bytesOfName, type Entry, type ExtendedAttribute, type ImageTree, nameOfBytes, parentOf } from '../tree/mod.ts';

const PERMISSION_BITS = 0o7777;
/** As many as the reader of ext allows in one folder. */
const NAMES_MAX = 100_000;
const PIECE_BYTES = 1024 * 1024;
/** What is no such node: nothing, or something above it is no folder. */
const ABSENT: readonly string[] = ['ENOENT', 'ENOTDIR', 'ENAMETOOLONG'];

export class MountedTree implements ImageTree {
  readonly uuid: string | undefined;
  readonly #root: string;
  /** Known to be no links, nor anything below one. */
  readonly #folders = new Set<string>(['/']);

  /** @param root where it is mounted; absolute, UTF-8 */
  constructor(root: string, uuid: string | undefined) {
    this.#root = root;
    this.uuid = uuid;
  }

  async entry(path: string): Promise<Entry | null> {
    const place = this.place(path);
    const facts = this.#facts(path);
    if (facts === null) return null;
    const kind = facts.isFile() ? 'file' : facts.isDirectory() ? 'folder' : facts.isSymbolicLink() ? 'link' : 'other';
    const target = kind === 'link' ? nameOfBytes(read(path, () => readlinkSync(place, 'buffer'))) : null;
    const { mode, uid, gid, size, nlink } = facts;
    return { path, kind, mode: mode & PERMISSION_BITS, uid, gid, sizeBytes: size, links: nlink, target };
  }

  async names(path: string): Promise<readonly string[]> {
    if (this.#facts(path)?.isDirectory() !== true) return [];
    const names = read(path, () => readdirSync(this.place(path), 'buffer'));
    if (names.length > NAMES_MAX) throw new UnderstudyError('IMAGE_UNSUPPORTED', `${path} has too many files`);
    return names.map(nameOfBytes).sort();
  }

  async bytes(path: string, bytesMax: number): Promise<Buffer> {
    const facts = this.#facts(path);
    if (facts?.isFile() !== true) return Buffer.alloc(0);
    return read(path, () => firstBytes(this.place(path), Math.min(bytesMax, facts.size)));
  }

  async *pieces(path: string): AsyncGenerator<Buffer> {
    if (this.#facts(path)?.isFile() !== true) return;
    const flags = constants.O_RDONLY | constants.O_NOFOLLOW;
    yield* createReadStream('', { fd: openSync(this.place(path), flags), highWaterMark: PIECE_BYTES });
  }

  async modified(path: string): Promise<number> {
    const facts = this.#facts(path);
    return facts === null ? 0 : Math.floor(facts.mtimeMs / 1000);
  }

  async attributes(path: string): Promise<readonly ExtendedAttribute[]> {
    return this.#facts(path) === null ? [] : read(path, () => attributesOf(this.place(path)));
  }

  /** Where a node is to be found, as the system takes it. */
  place(path: string): Buffer {
    return Buffer.concat([Buffer.from(this.#root), bytesOfName(path === '/' ? '' : path)]);
  }

  /** To be called after every change to what is mounted. */
  forget(): void {
    this.#folders.clear();
    this.#folders.add('/');
  }

  /** Null also when something above it is no folder. */
  #facts(path: string): Stats | null {
    const above = parentOf(path);
    if (!this.#folders.has(above)) {
      if (this.#facts(above)?.isDirectory() !== true) return null;
      this.#folders.add(above);
    }
    try {
      return lstatSync(this.place(path));
    } catch (error) {
      if (ABSENT.includes(errnoOf(error) ?? '')) return null;
      throw unreadable(path, error);
    }
  }
}

function firstBytes(place: Buffer, count: number): Buffer {
  const fd = openSync(place, constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    const bytes = Buffer.alloc(count);
    let done = 0;
    while (done < count) {
      const got = readSync(fd, bytes, done, count - done, done);
      if (got === 0) break;
      done += got;
    }
    return bytes.subarray(0, done);
  } finally {
    closeSync(fd);
  }
}

function read<T>(path: string, use: () => T): T {
  try {
    return use();
  } catch (error) {
    throw unreadable(path, error);
  }
}

/** The kernel found the file system to contradict itself. */
function unreadable(path: string, cause: unknown): unknown {
  const code = errnoOf(cause);
  return code === null ? cause : new UnderstudyError('IMAGE_DAMAGED', `${path} cannot be read: ${code}`, { cause });
}
