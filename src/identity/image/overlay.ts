// A private copy of an image that costs nothing: what is written goes to a file of ours, the image below stays as it
// is. It is a qcow2 file over the image, of which each file system is shown as a plain file that its own programs can
// read and write. (The option of e2fsprogs for file systems inside an image, "?offset=", gets lost when e2fsck 1.47
// replays a journal.)
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { present } from '../../base/mod.ts';
import { ShownFile } from './shown-file.ts';
import { identityFailed, runToEnd } from './tool.ts';

/** What lies below an overlay: the image, or changes over the image that have not been written to it yet. */
export interface Below {
  readonly path: string;
  readonly format: 'raw' | 'qcow2';
}

/** A file system of an overlay, from its first byte on. */
export type ShownPart = Pick<ShownFile, 'path' | 'pid' | 'place'>;

export class Overlay {
  /** The qcow2 file with what was written; its offsets are those of the image. */
  readonly file: string;
  /** In the order in which they can end: the last one may be what the others are parts of. */
  readonly #shown: readonly ShownFile[];

  private constructor(file: string, shown: readonly ShownFile[]) {
    this.file = file;
    this.#shown = shown;
  }

  /** While the overlay is open. @param index as in the offsets that it was opened with */
  part(index: number): ShownPart {
    return present(this.#shown[index], 'a part of the overlay');
  }

  /**
   * @param offsets where the file systems begin; multiples of 512
   * @param folder an empty private folder, absolute
   * @throws TOOL_MISSING, IDENTITY_FAILED when FUSE or namespaces are not to be had, or the image is in use
   */
  static async open(below: Below, offsets: readonly number[], folder: string, signal: AbortSignal): Promise<Overlay> {
    const file = join(folder, 'overlay.qcow2');
    const create = ['create', '-q', '-f', 'qcow2', '-F', below.format, '-b', below.path, file];
    // qemu-img would make it with mode 0644; what is there already keeps its mode.
    await writeFile(file, '', { mode: 0o600, flag: 'wx' });
    const created = await runToEnd('qemu-img', create, signal);
    if (created.status !== 0) throw identityFailed(`no overlay for ${below.path}: ${created.stderr.trim()}`);
    const overlay = { driver: 'qcow2', file: { driver: 'file', filename: file } };
    const options = { folder, name: below.path, writable: true, signal };
    const [only, ...more] = offsets;
    if (more.length === 0)
      return new Overlay(file, [await ShownFile.open({ driver: 'raw', offset: only, file: overlay }, options)]);
    return new Overlay(file, await showParts(overlay, offsets, options));
  }

  /**
   * The daemons have written everything and gone. @throws IDENTITY_FAILED when one did not end well: nothing in `file`
   * counts
   */
  async close(): Promise<void> {
    for (const shown of this.#shown) await shown.close();
  }

  /** Ends it at once; what was written is of no use any more. May be called at any time. */
  async discard(): Promise<void> {
    for (const shown of this.#shown) await shown.discard();
  }
}

/** One daemon writes the overlay, and others show parts of what it shows: none may have two writers. */
async function showParts(
  overlay: Readonly<Record<string, unknown>>,
  offsets: readonly number[],
  options: Parameters<typeof ShownFile.open>[1],
): Promise<readonly ShownFile[]> {
  const whole = await ShownFile.open(overlay, options);
  const parts: ShownFile[] = [];
  try {
    for (const [index, offset] of offsets.entries()) {
      const folder = join(options.folder, `part-${index}`);
      await mkdir(folder, { mode: 0o700 });
      const file = { driver: 'file', filename: whole.place, locking: 'off' };
      parts.push(await ShownFile.open({ driver: 'raw', offset, file }, { ...options, folder, beside: whole }));
    }
    return [...parts, whole];
  } catch (error) {
    for (const shown of [...parts, whole]) await shown.discard();
    throw error;
  }
}
