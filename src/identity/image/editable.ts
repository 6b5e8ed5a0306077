// A file system that is being changed, in the terms that all kinds have: whole, read, edited, left alone, judged. One driver each.
import { utimes } from 'node:fs/promises';
import { openExt } from '../ext/mod.ts';
import { openFat } from '../fat/mod.ts';
import { editMounted, type Mountable } from '../mounted/mod.ts';
import type { FileEdit, ImageTree } from '../tree/mod.ts';
import type { FileSystem, Mountable as MountableFileSystem, RootFileSystem } from './candidates.ts';
import { faultIn, faultInFat, faultInMounted, repairAll, repairFat, replayJournal } from './check.ts';
import { editFiles } from './edit.ts';
import { editFat } from './edit-fat.ts';
import { kindOf, type MountedOverlay, mountOf, type Within } from './mounted-overlay.ts';
import type { ShownPart } from './overlay.ts';

/**
 * Before a change: 'whole' makes it so as far as that is certain; 'journal' is for what is not changed. 'presumed' believes a file system that
 * says it is whole, so that the check after the change is the only one, and judges both; whoever presumes begins anew with 'whole' after any
 * failure.
 */
export type Repair = 'whole' | 'journal' | 'presumed';

export interface Editable {
  /** @throws IMAGE_DAMAGED */
  repair(how: Repair): Promise<void>;
  /** Its files as they are now; good until anything else is asked for. */
  tree(): Promise<ImageTree>;
  /** The root is given to edit also when there is nothing: what it holds is marked as changed. @throws IDENTITY_FAILED */
  edit(edits: readonly FileEdit[]): Promise<void>;
  /** How the kernel mounts it, for who mounts it in another one; null when nothing is ever run with it. */
  readonly mountable: Mountable | null;
  /** For as long as something is done, mounted by the kernel, and others, which are at rest, in it. @throws IDENTITY_FAILED */
  withMount(within: readonly Within[], use: (mounted: MountedOverlay) => Promise<void>): Promise<void>;
  /** Nothing of ours has it open any more. */
  rest(): Promise<void>;
  /** At rest: null when it is whole, or nothing of it was changed; else what its own program says. */
  fault(): Promise<string | null>;
  /** Ends it at once; never throws. */
  discard(): Promise<void>;
}

export interface EditableOptions {
  /** What messages call the image. */
  readonly image: string;
  /** Private. */
  readonly folder: string;
  readonly signal: AbortSignal;
}

export function editableOf(part: ShownPart, holds: FileSystem, options: EditableOptions): Editable {
  if (holds.type === 'ext') return new EditableExt(part, holds, options);
  return holds.type === 'fat' ? new EditableFat(part, options) : new EditableMounted(part, holds, options);
}

/** Only ext does, in a way that its own check can contradict. */
export function saysWhole(holds: FileSystem): boolean {
  return holds.type === 'ext' && holds.superblock.saysWhole;
}

/** Read by us, changed by a program. */
abstract class EditableFile implements Editable {
  protected readonly part: ShownPart;
  protected readonly options: EditableOptions;
  #reader: { close(): Promise<void> } | null = null;

  constructor(part: ShownPart, options: EditableOptions) {
    this.part = part;
    this.options = options;
  }

  abstract repair(how: Repair): Promise<void>;
  abstract edit(edits: readonly FileEdit[]): Promise<void>;
  abstract readonly mountable: Mountable | null;
  abstract withMount(within: readonly Within[], use: (mounted: MountedOverlay) => Promise<void>): Promise<void>;
  abstract fault(): Promise<string | null>;
  protected abstract open(): Promise<{ readonly tree: ImageTree; readonly file: { close(): Promise<void> } }>;

  async tree(): Promise<ImageTree> {
    await this.rest();
    const { tree, file } = await this.open();
    this.#reader = file;
    return tree;
  }

  async rest(): Promise<void> {
    const reader = this.#reader;
    this.#reader = null;
    await reader?.close();
  }

  async discard(): Promise<void> {
    // It was only read; whatever is wrong now, the overlay is thrown away.
    await this.rest().catch(() => {});
  }
}

class EditableExt extends EditableFile {
  readonly #holds: RootFileSystem;
  #repair: Repair = 'whole';

  constructor(part: ShownPart, holds: RootFileSystem, options: EditableOptions) {
    super(part, options);
    this.#holds = holds;
  }

  protected open() {
    return openExt(this.part.path, this.options.image, this.options.signal);
  }

  async repair(how: Repair): Promise<void> {
    await this.rest();
    this.#repair = how;
    if (how === 'presumed' && saysWhole(this.#holds)) return;
    const repair = how === 'journal' ? replayJournal : repairAll;
    await repair(this.options.image, this.part.path, this.options.signal);
  }

  async edit(edits: readonly FileEdit[]): Promise<void> {
    await this.rest();
    if (edits.length === 0) return;
    await editFiles(this.part.path, edits, this.options.folder, this.options.signal);
  }

  get mountable(): Mountable {
    return { ...kindOf(this.#holds), path: this.part.place };
  }

  async withMount(within: readonly Within[], use: (mounted: MountedOverlay) => Promise<void>): Promise<void> {
    await this.rest();
    await whileMounted(this.part, this.#holds, within, this.options, use);
  }

  async fault(): Promise<string | null> {
    const { image, signal } = this.options;
    // A check reads all of it; of what only had its journal replayed, by the program that does that for every host, nothing is new.
    if (this.#repair === 'journal') return null;
    const fault = await faultIn(this.part.path, 0, signal);
    if (fault === null || this.#repair === 'presumed') return fault;
    // debugfs keeps no accounts of quotas; e2fsck does that, and sees for itself whether that was all.
    await repairAll(image, this.part.path, signal);
    return faultIn(this.part.path, 0, signal);
  }
}

class EditableFat extends EditableFile {
  readonly mountable = null;

  protected open() {
    return openFat(this.part.path, this.options.image, this.options.signal);
  }

  async repair(): Promise<void> {
    await this.rest();
    await repairFat(this.options.image, this.part.path, this.options.signal);
  }

  async edit(edits: readonly FileEdit[]): Promise<void> {
    await this.rest();
    await editFat(this.part.path, edits, this.options.folder, this.options.signal);
  }

  async withMount(): Promise<void> {
    throw new Error('nothing is ever run in a FAT file system');
  }

  fault(): Promise<string | null> {
    return faultInFat(this.part.path, this.options.signal);
  }
}

/** The kernel reads and changes it, and replays its log; the mount lasts until it is at rest. */
class EditableMounted implements Editable {
  readonly #part: ShownPart;
  readonly #holds: MountableFileSystem;
  readonly #options: EditableOptions;
  #mounted: MountedOverlay | null = null;

  constructor(part: ShownPart, holds: MountableFileSystem, options: EditableOptions) {
    this.#part = part;
    this.#holds = holds;
    this.#options = options;
  }

  async repair(): Promise<void> {}

  async tree(): Promise<ImageTree> {
    return (await this.#mount()).tree;
  }

  async edit(edits: readonly FileEdit[]): Promise<void> {
    const { tree } = await this.#mount();
    // Without any change the superblock would stay as it is, and nothing could tell that the change of others has begun (redo.ts).
    if (edits.length === 0) await utimes(tree.place('/'), new Date(), new Date());
    await editMounted(tree, edits);
  }

  get mountable(): Mountable {
    return { ...kindOf(this.#holds), path: this.#part.place };
  }

  async withMount(within: readonly Within[], use: (mounted: MountedOverlay) => Promise<void>): Promise<void> {
    await this.rest();
    await whileMounted(this.#part, this.#holds, within, this.#options, use);
  }

  async rest(): Promise<void> {
    const mounted = this.#mounted;
    this.#mounted = null;
    await mounted?.mount.close();
  }

  fault(): Promise<string | null> {
    return faultInMounted(this.#holds.type, this.#part.path, this.#options.signal);
  }

  async discard(): Promise<void> {
    await this.#mounted?.mount.discard();
  }

  async #mount(): Promise<MountedOverlay> {
    const { folder, image: name, signal } = this.#options;
    this.#mounted ??= await mountOf(this.#part, this.#holds, { folder, name, signal });
    return this.#mounted;
  }
}

async function whileMounted(
  part: ShownPart,
  holds: RootFileSystem,
  within: readonly Within[],
  { folder, image: name, signal }: EditableOptions,
  use: (mounted: MountedOverlay) => Promise<void>,
): Promise<void> {
  const mounted = await mountOf(part, holds, { folder, name, signal, within });
  try {
    await use(mounted);
  } catch (error) {
    await mounted.mount.discard();
    throw error;
  }
  await mounted.mount.close();
}
