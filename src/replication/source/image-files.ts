// The files that an image consists of, opened by us and judged as what has been opened: QEMU is given descriptors, and
// never a name that could lead elsewhere by the time it is opened.
import { closeSync, constants, fstatSync, mkdirSync, openSync, readlinkSync, rmSync, symlinkSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { privateFolder } from './private-folder.ts';

export interface HeldFile {
  readonly fd: number;
  /** Where QEMU, as this user, finds the open file for as long as it is held. */
  readonly place: string;
  readonly sizeBytes: number;
}

export class ImageFiles {
  /** By their real paths, in the order in which they were named. */
  readonly #held = new Map<string, HeldFile>();
  readonly #folders: string[] = [];

  get paths(): string[] {
    return [...this.#held.keys()];
  }

  get fds(): number[] {
    return [...this.#held.values()].map(({ fd }) => fd);
  }

  /**
   * @param path absolute, without links
   * @returns null when something else has the name by now, or it is not a regular file
   * @throws what the system says
   */
  hold(path: string): HeldFile | null {
    const before = this.#held.get(path);
    if (before !== undefined) return before;
    const fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    const facts = fstatSync(fd);
    // The name of what is open, whatever has become of the folders above it in between.
    if (!facts.isFile() || readlinkSync(`/proc/self/fd/${fd}`) !== path) {
      closeSync(fd);
      return null;
    }
    return this.#keep(path, fd, facts.size);
  }

  /** The same for a file or device that is open already; it belongs to this from now on. */
  take(path: string, fd: number): HeldFile {
    return this.#keep(path, fd, fstatSync(fd).size);
  }

  #keep(path: string, fd: number, sizeBytes: number): HeldFile {
    const held = { fd, place: `/proc/${process.pid}/fd/${fd}`, sizeBytes };
    this.#held.set(path, held);
    return held;
  }

  /**
   * A private folder in which those files lie beside each other by their names, as links to what is open: for a format
   * whose names cannot be said otherwise. @returns where the first of them is @param names relative, and in the folder
   */
  asFolder(first: { readonly path: string; readonly file: HeldFile }, names: ReadonlyMap<string, HeldFile>): string {
    const folder = privateFolder();
    this.#folders.push(folder);
    const place = join(folder, basename(first.path));
    symlinkSync(first.file.place, place);
    for (const [name, { place: target }] of names) {
      mkdirSync(dirname(join(folder, name)), { recursive: true });
      symlinkSync(target, join(folder, name));
    }
    return place;
  }

  /** No tool opens them any more. */
  close(): void {
    for (const { fd } of this.#held.values()) closeSync(fd);
    this.#held.clear();
    for (const folder of this.#folders.splice(0)) rmSync(folder, { recursive: true, force: true });
  }
}
