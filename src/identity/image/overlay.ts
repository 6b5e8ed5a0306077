// A private copy of an image that costs nothing: what is written goes to a file of ours, the image below stays as it is. It is a
// qcow2 file over the image, of which one file system is shown as a plain file that e2fsprogs can read and write. (Their own option for
// file systems inside an image, "?offset=", gets lost when e2fsck 1.47 replays a journal.)
import { join } from 'node:path';
import { ShownFile } from './shown-file.ts';
import { identityFailed, runToEnd } from './tool.ts';

/** What lies below an overlay: the image, or changes over the image that have not been written to it yet. */
export interface Below {
  readonly path: string;
  readonly format: 'raw' | 'qcow2';
}

export class Overlay {
  /** The qcow2 file with what was written; its offsets are those of the image. */
  readonly file: string;
  readonly #shown: ShownFile;

  private constructor(file: string, shown: ShownFile) {
    this.file = file;
    this.#shown = shown;
  }

  /** The file system, from its first byte on, while the overlay is open. */
  get path(): string {
    return this.#shown.path;
  }

  /** Of the process in whose mount namespace `place` is to be found. */
  get pid(): number {
    return this.#shown.pid;
  }

  /** Where it is for that process. */
  get place(): string {
    return this.#shown.place;
  }

  /**
   * @param offsetBytes where the file system begins; a multiple of 512
   * @param folder an empty private folder, absolute
   * @throws TOOL_MISSING, IDENTITY_FAILED when FUSE or namespaces are not to be had, or the image is in use
   */
  static async open(below: Below, offsetBytes: number, folder: string, signal: AbortSignal): Promise<Overlay> {
    const file = join(folder, 'overlay.qcow2');
    const create = ['create', '-q', '-f', 'qcow2', '-F', below.format, '-b', below.path, file];
    const created = await runToEnd('qemu-img', create, signal);
    if (created.status !== 0) throw identityFailed(`no overlay for ${below.path}: ${created.stderr.trim()}`);
    const overlay = { driver: 'qcow2', file: { driver: 'file', filename: file } };
    const block = { driver: 'raw', offset: offsetBytes, file: overlay };
    return new Overlay(file, await ShownFile.open(block, { folder, name: below.path, writable: true, signal }));
  }

  /** The daemon has written everything and gone. @throws IDENTITY_FAILED when it did not end well: nothing in `file` counts */
  async close(): Promise<void> {
    await this.#shown.close();
  }

  /** Ends it at once; what was written is of no use any more. May be called at any time. */
  async discard(): Promise<void> {
    await this.#shown.discard();
  }
}
