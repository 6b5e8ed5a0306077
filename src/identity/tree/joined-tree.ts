// Several file systems as the one tree that the system makes of them when it mounts them: of what is mounted over a folder, that
// folder shows nothing.
import { present } from '../../base/mod.ts';
import type { DiskUse, Entry, ExtendedAttribute, ImageTree } from './contract.ts';
import { fileTree, isWithin } from './file-tree.ts';

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

/** What a path in the whole is called in the file system that is mounted at `at`. */
export function insideOf(path: string, at: string): string {
  return at === '/' ? path : path.slice(at.length) || '/';
}
