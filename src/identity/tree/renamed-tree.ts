// A tree in which some files and folders have other names than in the one behind it. The renames come first, whatever
// else is planned: so everything else is said in the names that there are afterwards.
import type { DiskUse, Entry, ExtendedAttribute, ImageTree, NodeTree } from './contract.ts';
import { fileTree, isWithin, join, nameOf } from './file-tree.ts';

/** Both absolute and canonical, as the renames before leave the tree; in one folder. */
export interface Rename {
  readonly from: string;
  readonly to: string;
}

export class RenamedTree<Base extends NodeTree = NodeTree> implements NodeTree {
  protected readonly base: Base;
  readonly #renames: Rename[];

  constructor(base: Base, renames: readonly Rename[] = []) {
    this.base = base;
    this.#renames = [...renames];
  }

  get uuid(): string | undefined {
    return this.base.uuid;
  }

  get disk(): DiskUse {
    return fileTree(this.base).disk;
  }

  /** In the order in which they are done. */
  get renames(): readonly Rename[] {
    return this.#renames;
  }

  rename(one: Rename): void {
    this.#renames.push(one);
  }

  /** What a path is called in the tree behind; null: what had this name has another one now. */
  origin(path: string): string | null {
    let at = path;
    for (const { from, to } of this.#renames.toReversed()) {
      if (isWithin(at, to)) at = from + at.slice(to.length);
      else if (isWithin(at, from)) return null;
    }
    return at;
  }

  /** The other way round. */
  moved(path: string): string {
    return this.#renames.reduce((at, { from, to }) => (isWithin(at, from) ? to + at.slice(from.length) : at), path);
  }

  async entry(path: string): Promise<Entry | null> {
    const origin = this.origin(path);
    const entry = origin === null ? null : await this.base.entry(origin);
    return entry === null || origin === path ? entry : { ...entry, path };
  }

  async names(path: string): Promise<readonly string[]> {
    const origin = this.origin(path);
    if (origin === null) return [];
    const names = await this.base.names(origin);
    if (this.#renames.length === 0) return names;
    return names.map((name) => nameOf(this.moved(join(origin, name)))).sort();
  }

  async bytes(path: string, bytesMax: number): Promise<Buffer> {
    const origin = this.origin(path);
    return origin === null ? Buffer.alloc(0) : this.base.bytes(origin, bytesMax);
  }
}

export class RenamedImageTree extends RenamedTree<ImageTree> implements ImageTree {
  async *pieces(path: string): AsyncGenerator<Buffer> {
    const origin = this.origin(path);
    if (origin !== null) yield* this.base.pieces(origin);
  }

  async modified(path: string): Promise<number> {
    const origin = this.origin(path);
    return origin === null ? 0 : this.base.modified(origin);
  }

  async attributes(path: string): Promise<readonly ExtendedAttribute[]> {
    const origin = this.origin(path);
    return origin === null ? [] : this.base.attributes(origin);
  }
}
