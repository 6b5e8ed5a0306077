// An ext file system as a tree of nodes by path.
import { setImmediate } from 'node:timers/promises';
import {
  type Entry,
  type ExtendedAttribute,
  type ImageTree,
  join,
  nameOf,
  nameOfBytes,
  parentOf,
} from '../tree/mod.ts';
import type { ExtFileSystem } from './file-system.ts';
import type { Inode } from './inode.ts';
import { ROOT_INODE } from './superblock.ts';

/** Names kept in memory before all are forgotten and read again. */
const NAMES_KEPT_MAX = 200_000;
const ENTRIES_KEPT_MAX = 50_000;
/** Questions after which everything else in the process has its turn. */
const TURN = 256;

export class ExtTree implements ImageTree {
  readonly #files: ExtFileSystem;
  readonly #folders = new Map<string, ReadonlyMap<string, number>>();
  readonly #entries = new Map<string, Promise<Entry | null>>();
  #namesKept = 0;
  #asked = 0;

  constructor(files: ExtFileSystem) {
    this.#files = files;
  }

  get uuid(): string {
    return this.#files.superblock.uuid;
  }

  /** The same nodes are asked for again and again, by one rule after the other. */
  entry(path: string): Promise<Entry | null> {
    const kept = this.#entries.get(path);
    if (kept !== undefined) return kept;
    if (this.#entries.size >= ENTRIES_KEPT_MAX) this.#entries.clear();
    const entry = this.#entry(path);
    this.#entries.set(path, entry);
    return entry;
  }

  async #entry(path: string): Promise<Entry | null> {
    await this.#turn();
    const inode = this.#inodeAt(path);
    return inode === null ? null : this.#entryOf(path, inode);
  }

  #entryOf(path: string, inode: Inode): Entry {
    const { kind, mode, uid, gid, sizeBytes, links } = inode;
    const target = kind === 'link' ? nameOfBytes(this.#files.linkTarget(inode)) : null;
    return { path, kind, mode, uid, gid, sizeBytes, links, target };
  }

  async entries(path: string): Promise<readonly Entry[]> {
    await this.#turn();
    const names = [...this.#namesAt(path)].sort(([one], [other]) => (one < other ? -1 : one > other ? 1 : 0));
    return names.map(([name, number]) => this.#entryOf(join(path, name), this.#files.inode(number)));
  }

  /** Nothing that is read here waits for anything, so that others would never have their turn. */
  async #turn(): Promise<void> {
    this.#asked += 1;
    if (this.#asked % TURN === 0) await setImmediate();
  }

  async names(path: string): Promise<readonly string[]> {
    return [...this.#namesAt(path).keys()].sort();
  }

  async bytes(path: string, bytesMax: number): Promise<Buffer> {
    await this.#turn();
    const inode = this.#inodeAt(path);
    return inode?.kind === 'file' ? this.#files.data(inode, bytesMax) : Buffer.alloc(0);
  }

  async *pieces(path: string): AsyncGenerator<Buffer> {
    const inode = this.#inodeAt(path);
    if (inode?.kind === 'file') yield* this.#files.pieces(inode);
  }

  async modified(path: string): Promise<number> {
    return this.#inodeAt(path)?.modified ?? 0;
  }

  async attributes(path: string): Promise<readonly ExtendedAttribute[]> {
    const inode = this.#inodeAt(path);
    return inode === null ? [] : this.#files.attributes(inode);
  }

  /** Null also when something above it is no folder. */
  #inodeAt(path: string): Inode | null {
    if (path === '/') return this.#files.inode(ROOT_INODE);
    const number = this.#namesAt(parentOf(path)).get(nameOf(path));
    return number === undefined ? null : this.#files.inode(number);
  }

  #namesAt(path: string): ReadonlyMap<string, number> {
    const kept = this.#folders.get(path);
    if (kept !== undefined) return kept;
    const inode = this.#inodeAt(path);
    const names = inode?.kind === 'folder' ? this.#files.folder(inode) : new Map<string, number>();
    if (this.#namesKept + names.size > NAMES_KEPT_MAX) {
      this.#folders.clear();
      this.#namesKept = 0;
    }
    this.#folders.set(path, names);
    this.#namesKept += names.size + 1;
    return names;
  }
}
