// The one walk through an image: every folder is listed once, every small text is read once.
import { setImmediate } from 'node:timers/promises';
import { UnderstudyError } from '../../base/mod.ts';
import type { Omission } from '../contract.ts';
import { type Entry, entriesIn, isWithin, join, type NodeTree } from '../tree/mod.ts';
import { exclusionOf } from './places.ts';

export const TEXT_BYTES_MAX = 1024 * 1024;
/** Above the largest files that systems keep in /etc, such as udev's hardware database of 10 MiB. */
const ETC_BYTES_MAX = 16 * 1024 * 1024;
const NODES_MAX = 4_000_000;
const BYTES_MAX = 64 * 1024 ** 3;
const DEPTH_MAX = 64;
/** Whether it is text is told by its beginning. */
const START_BYTES = 4096;
/** Other work of the process has its turn. */
const TURN_NODES = 500;
const UNREADABLE: readonly string[] = ['IMAGE_DAMAGED', 'IMAGE_UNSUPPORTED'];

export interface Visitor {
  /** Whatever has a name, also where nothing is read. */
  named(entry: Entry): void;
  /** The text of a file. */
  text(path: string, bytes: Buffer): void;
}

export interface Walked {
  /** Files and links with a name that was seen. */
  readonly files: number;
  readonly filesRead: number;
  readonly bytesRead: number;
  readonly omitted: readonly Omission[];
}

/** @param roots canonical; what is excluded elsewhere is searched in them if they name it themselves */
export async function walk(
  nodes: NodeTree,
  roots: readonly string[],
  visitor: Visitor,
  textBytesMax: number,
): Promise<Walked> {
  const one = new Walk(nodes, visitor, textBytesMax);
  for (const root of roots) await one.from(root);
  return one.result();
}

class Walk {
  readonly #nodes: NodeTree;
  readonly #visitor: Visitor;
  readonly #textBytesMax: number;
  readonly #omitted: Omission[] = [];
  readonly #unread = { large: 0, binary: 0 };
  #count = 0;
  #files = 0;
  #filesRead = 0;
  #bytesRead = 0;

  constructor(nodes: NodeTree, visitor: Visitor, textBytesMax: number) {
    this.#nodes = nodes;
    this.#visitor = visitor;
    this.#textBytesMax = textBytesMax;
  }

  result(): Walked {
    const { large, binary } = this.#unread;
    const kinds = [
      { path: '/', why: `files of more than ${this.#textBytesMax / 1024 ** 2} MiB`, files: large, isIntended: true },
      { path: '/', why: 'files that are not text', files: binary, isIntended: true },
    ];
    const omitted = [...this.#omitted, ...kinds.filter(({ files }) => files > 0)];
    return { files: this.#files, filesRead: this.#filesRead, bytesRead: this.#bytesRead, omitted };
  }

  async from(root: string): Promise<void> {
    const entry = await this.#try(root, () => this.#nodes.entry(root));
    if (entry?.kind === 'folder') await this.#folder(root, 0, null);
    else if (entry?.kind === 'file') await this.#file(entry);
  }

  /** @param listed counts the files of a place in which nothing is read; null: it is read */
  async #folder(path: string, depth: number, listed: { files: number } | null): Promise<void> {
    if (depth > DEPTH_MAX) return this.#cut(path, 'folders are nested too deep');
    for (const entry of (await this.#try(path, () => this.#entriesOf(path))) ?? []) {
      if (this.#count >= NODES_MAX || this.#bytesRead >= BYTES_MAX)
        return this.#cut(path, 'there is too much to search');
      this.#count += 1;
      // What is read from memory never waits, and would not let anything else happen.
      if (this.#count % TURN_NODES === 0) await setImmediate();
      await this.#node(entry, depth, listed);
    }
  }

  /** Where one node cannot be read, the others are. */
  async #entriesOf(path: string): Promise<readonly Entry[]> {
    try {
      return await entriesIn(this.#nodes, path);
    } catch (error) {
      if (!isUnreadable(error)) throw error;
    }
    const entries: Entry[] = [];
    for (const name of await this.#nodes.names(path)) {
      const entry = await this.#try(join(path, name), () => this.#nodes.entry(join(path, name)));
      if (entry !== null) entries.push(entry);
    }
    return entries;
  }

  async #node(entry: Entry, depth: number, listed: { files: number } | null): Promise<void> {
    const { path, kind } = entry;
    this.#visitor.named(entry);
    if (kind === 'folder') return this.#below(path, depth + 1, listed);
    this.#files += 1;
    if (listed !== null) listed.files += 1;
    else if (kind === 'file') await this.#file(entry);
  }

  async #below(path: string, depth: number, listed: { files: number } | null): Promise<void> {
    const excluded = listed === null ? exclusionOf(path) : null;
    if (excluded === null) return this.#folder(path, depth, listed);
    if (!excluded.isListed) {
      const names = await this.#try(path, () => this.#nodes.names(path));
      if (names !== null && names.length > 0) this.#omitted.push({ path, why: excluded.why, isIntended: true });
      return;
    }
    const count = { files: 0 };
    await this.#folder(path, depth, count);
    if (count.files > 0) this.#omitted.push({ path, why: excluded.why, files: count.files, isIntended: true });
  }

  async #file({ path, sizeBytes }: Entry): Promise<void> {
    if (sizeBytes === 0) return;
    const isEtc = isWithin(path, '/etc');
    if (sizeBytes > this.#textBytesMax && !isEtc) {
      this.#unread.large += 1;
      return;
    }
    const bytes = await this.#try(path, () =>
      isEtc ? this.#nodes.bytes(path, ETC_BYTES_MAX) : this.#textOf(path, sizeBytes),
    );
    if (bytes === null) return;
    if (sizeBytes > ETC_BYTES_MAX) this.#cut(path, `only the first 16 MiB of ${sizeBytes} bytes were searched`);
    this.#filesRead += 1;
    this.#bytesRead += bytes.length;
    this.#visitor.text(path, bytes);
  }

  /** Null for what is not text. */
  async #textOf(path: string, sizeBytes: number): Promise<Buffer | null> {
    if (sizeBytes > 4 * START_BYTES && (await this.#nodes.bytes(path, START_BYTES)).includes(0)) return this.#binary();
    const bytes = await this.#nodes.bytes(path, this.#textBytesMax);
    return bytes.includes(0) ? this.#binary() : bytes;
  }

  #binary(): null {
    this.#unread.binary += 1;
    return null;
  }

  /** Null for what the file system cannot give: that one place is not searched. */
  async #try<T>(path: string, read: () => Promise<T>): Promise<T | null> {
    try {
      return await read();
    } catch (error) {
      if (!isUnreadable(error)) throw error;
      this.#cut(path, `it cannot be read: ${error.message}`);
      return null;
    }
  }

  #cut(path: string, why: string): void {
    this.#omitted.push({ path, why, isIntended: false });
  }
}

function isUnreadable(error: unknown): error is UnderstudyError {
  return error instanceof UnderstudyError && UNREADABLE.includes(error.code);
}
