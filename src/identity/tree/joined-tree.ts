// Several file systems as the one tree that the system makes of them when it mounts them: of what is mounted over a
// folder, that folder shows nothing.
import { present } from '../../base/mod.ts';
import type { DiskUse, Entry, ExtendedAttribute, ImageTree, NodeTree } from './contract.ts';
import { fileTree, isWithin, join, nameOf } from './file-tree.ts';

/** A file system in its place. */
export interface Part {
  /** Canonical path of the folder that it is mounted over; "/" for the root, which comes first. */
  readonly at: string;
  readonly tree: ImageTree;
}

export class JoinedTree implements ImageTree {
  readonly disk: DiskUse;
  readonly uuid: string | undefined;
  /** The innermost first. */
  readonly #parts: readonly Part[];

  /** @param disk absent: as the root knows it */
  constructor(parts: readonly Part[], disk?: DiskUse) {
    this.#parts = [...parts].sort((one, other) => other.at.length - one.at.length);
    const root = present(
      parts.find(({ at }) => at === '/'),
      'a root',
    ).tree;
    this.uuid = root.uuid;
    this.disk = disk ?? fileTree(root).disk;
  }

  async entry(path: string): Promise<Entry | null> {
    const { tree, inside } = this.#find(path);
    const entry = await tree.entry(inside);
    return entry === null || inside === path ? entry : { ...entry, path };
  }

  names(path: string): Promise<readonly string[]> {
    const { tree, inside } = this.#find(path);
    return tree.names(inside);
  }

  async entries(path: string): Promise<readonly Entry[]> {
    const { tree, inside } = this.#find(path);
    const entries = await entriesIn(tree, inside);
    const whole = inside === path ? entries : entries.map((one) => ({ ...one, path: join(path, nameOf(one.path)) }));
    // What is mounted over a folder has its name.
    const over = new Set(this.#parts.map(({ at }) => at));
    return Promise.all(whole.map(async (one) => (over.has(one.path) ? ((await this.entry(one.path)) ?? one) : one)));
  }

  bytes(path: string, bytesMax: number): Promise<Buffer> {
    const { tree, inside } = this.#find(path);
    return tree.bytes(inside, bytesMax);
  }

  pieces(path: string): AsyncGenerator<Buffer> {
    const { tree, inside } = this.#find(path);
    return tree.pieces(inside);
  }

  modified(path: string): Promise<number> {
    const { tree, inside } = this.#find(path);
    return tree.modified(inside);
  }

  attributes(path: string): Promise<readonly ExtendedAttribute[]> {
    const { tree, inside } = this.#find(path);
    return tree.attributes(inside);
  }

  #find(path: string): { readonly tree: ImageTree; readonly inside: string } {
    const part = present(
      this.#parts.find(({ at }) => isWithin(path, at)),
      'a part for each path',
    );
    return { tree: part.tree, inside: insideOf(path, part.at) };
  }
}

/** By whichever way a tree has. */
export async function entriesIn(tree: NodeTree, path: string): Promise<readonly Entry[]> {
  if (tree.entries !== undefined) return tree.entries(path);
  const entries: Entry[] = [];
  for (const name of await tree.names(path)) {
    const entry = await tree.entry(join(path, name));
    if (entry !== null) entries.push(entry);
  }
  return entries;
}

/** What a path in the whole is called in the file system that is mounted at `at`. */
export function insideOf(path: string, at: string): string {
  return at === '/' ? path : path.slice(at.length) || '/';
}
