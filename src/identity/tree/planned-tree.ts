// A tree with changes laid over it, as the image will be once a plan is applied. Rules after the first see what those
// before them planned, so that several can change one file, and the search for what is left looks at the result.
import type { DiskUse, Entry, NodeTree } from './contract.ts';
import { fileTree, isWithin, join, nameOf, parentOf } from './file-tree.ts';
import { type Rename, RenamedTree } from './renamed-tree.ts';

export type PlannedState =
  /** `copyOf`: the file that the bytes are of. */
  | { readonly kind: 'file'; readonly bytes: Buffer; readonly mode: number | null; readonly copyOf?: string }
  | { readonly kind: 'link'; readonly target: string }
  | { readonly kind: 'gone' }
  /** A folder without the files that are anywhere below it. */
  | { readonly kind: 'emptied' };

const MODE_NEW = 0o644;
const FOLDER_MODE = 0o755;

export class PlannedTree implements NodeTree {
  readonly base: NodeTree;
  readonly #base: RenamedTree;
  readonly #states = new Map<string, PlannedState>();
  /** That something is planned in: where there is none, it is made with it. */
  readonly #folders = new Set<string>();
  readonly #emptied = new Set<string>();

  constructor(base: NodeTree) {
    this.base = base;
    this.#base = new RenamedTree(base);
  }

  get uuid(): string | undefined {
    return this.#base.uuid;
  }

  get disk(): DiskUse {
    return fileTree(this.#base).disk;
  }

  /** What is planned, by canonical path. */
  get states(): ReadonlyMap<string, PlannedState> {
    return this.#states;
  }

  /** As it is, but for the names. */
  get renamed(): RenamedTree {
    return this.#base;
  }

  /** What was planned in the folder so far goes with it. */
  rename(one: Rename): void {
    this.#base.rename(one);
    for (const path of [...this.#states.keys()].filter((path) => isWithin(path, one.from))) {
      const state = this.#states.get(path);
      this.#states.delete(path);
      if (state !== undefined) this.plan(one.to + path.slice(one.from.length), state);
    }
  }

  plan(path: string, state: PlannedState): void {
    this.#states.set(path, state);
    if (state.kind === 'emptied') this.#emptied.add(path);
    else if (state.kind !== 'gone') this.#folders.add(parentOf(path));
  }

  async entry(path: string): Promise<Entry | null> {
    const state = this.#states.get(path);
    const before = await this.#base.entry(path);
    if (state === undefined && before === null && this.#folders.has(path))
      return { path, kind: 'folder', mode: FOLDER_MODE, uid: 0, gid: 0, sizeBytes: 0, links: 2, target: null };
    if (state === undefined) return before !== null && this.#isTaken(before) ? null : before;
    if (state.kind === 'emptied') return before;
    if (state.kind === 'gone') return null;
    if (state.kind === 'link') {
      const sizeBytes = Buffer.byteLength(state.target);
      return { path, kind: 'link', mode: 0o777, uid: 0, gid: 0, sizeBytes, links: 1, target: state.target };
    }
    const kept =
      state.mode === null && before?.kind === 'file' ? before : { mode: state.mode ?? MODE_NEW, uid: 0, gid: 0 };
    const { mode, uid, gid } = kept;
    return { path, kind: 'file', mode, uid, gid, sizeBytes: state.bytes.length, links: 1, target: null };
  }

  async names(path: string): Promise<readonly string[]> {
    const names = new Set((await this.#base.entry(path)) === null ? [] : await this.#base.names(path));
    for (const [planned, state] of this.#states) {
      if (planned === '/' || parentOf(planned) !== path) continue;
      if (state.kind === 'gone') names.delete(nameOf(planned));
      else names.add(nameOf(planned));
    }
    if (!this.isEmptied(path)) return [...names].sort();
    const left: string[] = [];
    for (const name of names) if ((await this.entry(join(path, name))) !== null) left.push(name);
    return left.sort();
  }

  /** A file of a folder that is emptied. */
  #isTaken({ path, kind }: Entry): boolean {
    return (kind === 'file' || kind === 'link') && this.isEmptied(parentOf(path));
  }

  /** Whether the folder, or one above it, loses its files. */
  isEmptied(folder: string): boolean {
    if (this.#emptied.size === 0) return false;
    for (let at = folder; ; at = parentOf(at)) {
      if (this.#emptied.has(at)) return true;
      if (at === '/') return false;
    }
  }

  async bytes(path: string, bytesMax: number): Promise<Buffer> {
    const state = this.#states.get(path);
    return state?.kind === 'file' ? state.bytes.subarray(0, bytesMax) : this.#base.bytes(path, bytesMax);
  }
}
