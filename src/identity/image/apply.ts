// Files changed in an image, all of them or none: in a private overlay, which is checked before and after, and then written to
// the image from a redo log. A crash at any moment leaves an image that is as before, or that the next call completes.
import { rm } from 'node:fs/promises';
import { UnderstudyError } from '../../base/mod.ts';
import type { FileSystem } from './candidates.ts';
import { faultIn } from './check.ts';
import { editOverlay, type ImageChange } from './edit-overlay.ts';
import { growPartition, hasRoom, roomFor } from './grow.ts';
import { openImage } from './open-image.ts';
import { Overlay } from './overlay.ts';
import type { RawImage } from './raw-image.ts';
import { findRedo, keepAsRedo, type Redo, removeRedo, writeRedo } from './redo.ts';
import type { ImageName, WorkFolder } from './work-folder.ts';

/** Told the name of each step before it begins. */
export type OnStep = (step: string) => void;

/**
 * @throws IMAGE_UNSUPPORTED, IMAGE_DAMAGED (the image is as it was), IDENTITY_FAILED (it is as it was, unless storage failed while
 * the redo log was written; then the next call completes it), TOOL_MISSING, INTERRUPTED (it is as it was)
 */
export async function changeImage(
  name: RawImage,
  change: ImageChange,
  work: WorkFolder,
  signal: AbortSignal,
  onStep: OnStep,
): Promise<void> {
  onStep('recover');
  await finishRedo(name, work, onStep);
  const purpose = `apply-${name.key}`;
  await work.removeLeftovers(purpose);
  onStep('look');
  const found = await lookAt(name, change, work, signal);
  if (change.grow && found.holds.type !== 'ext') {
    throw new UnderstudyError(
      'IMAGE_UNSUPPORTED',
      `the ${found.holds.type} in ${name.label} cannot be made larger here`,
    );
  }
  const grows = change.grow && (await growPartition(name, found.offsetBytes, signal));
  const roomBytes = change.grow ? await roomFor(name, found.offsetBytes, signal) : null;
  const isFull = roomBytes === null || !hasRoom(found.sizeBytes, roomBytes);
  if (found.done && !grows && isFull) return;
  const folder = await work.make(purpose);
  try {
    const redo = await prepareRedo(
      {
        image: name.label,
        name,
        offsetBytes: found.offsetBytes,
        holds: found.holds,
        roomBytes: isFull ? null : roomBytes,
        change,
        folder,
        signal,
        onStep,
      },
      work,
    );
    // From here on there is no way back, only forward.
    onStep('write');
    await writeRedo(redo, name, (step) => onStep(`write ${step}`));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function finishRedo(name: ImageName, work: WorkFolder, onStep: OnStep): Promise<void> {
  const redo = await findRedo(work.path, name);
  if (redo !== null) await writeRedo(redo, name, (step) => onStep(`recover ${step}`));
  await removeRedo(work.path, name);
}

/** Where the root is; and whether nothing is to be done, which for a dirty image is never so: it is to be made clean. */
async function lookAt(
  name: RawImage,
  change: ImageChange,
  work: WorkFolder,
  signal: AbortSignal,
): Promise<{ offsetBytes: number; sizeBytes: number; holds: FileSystem; done: boolean }> {
  const opened = await openImage(name, work, signal);
  try {
    const { offsetBytes, sizeBytes, holds, clean } = opened;
    const { edits, commands } = await change.remaining(opened.tree);
    const done = clean && edits.length === 0 && commands.length === 0;
    // What the kernel mounts it has replayed for us to look at; whether it is whole is asked when it is changed.
    const isWhole = holds.type !== 'ext' || (done && (await faultIn(name.path, offsetBytes, signal)) === null);
    return { offsetBytes, sizeBytes, holds, done: done && isWhole };
  } finally {
    await opened.close();
  }
}

interface Work {
  readonly image: string;
  readonly name: RawImage;
  readonly offsetBytes: number;
  readonly holds: FileSystem;
  /** What the file system is to fill; null: it stays as large as it is. */
  readonly roomBytes: number | null;
  readonly change: ImageChange;
  readonly folder: string;
  readonly signal: AbortSignal;
  readonly onStep: OnStep;
}

async function prepareRedo(given: Work, work: WorkFolder): Promise<Redo> {
  const { name, offsetBytes, signal, onStep } = given;
  onStep('overlay');
  const overlay = await Overlay.open({ path: name.path, format: 'raw' }, offsetBytes, given.folder, signal);
  try {
    await editOverlay(overlay, { ...given, kernelMount: name.kernelMount });
    onStep('close');
    await overlay.close();
  } catch (error) {
    await overlay.discard();
    throw error;
  }
  onStep('keep');
  return keepAsRedo(overlay.file, work.path, name, { offsetBytes, type: given.holds.type });
}
