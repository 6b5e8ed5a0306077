// Files changed in an image, all of them or none: in a private overlay, which is checked before and after, and then written to
// the image from a redo log. A crash at any moment leaves an image that is as before, or that the next call completes.
import { rm } from 'node:fs/promises';
import { UnderstudyError } from '../../base/mod.ts';
import {
  ExtFileSystem,
  ExtTree,
  ImageFile,
  parseSuperblock,
  SUPERBLOCK_BYTES,
  SUPERBLOCK_OFFSET_BYTES,
} from '../ext/mod.ts';
import { faultIn, repairAll } from './check.ts';
import { editFiles, type FileEdit } from './edit.ts';
import { growFileSystem, growPartition, hasRoom, roomFor } from './grow.ts';
import { openImage } from './open-image.ts';
import { Overlay } from './overlay.ts';
import type { RawImage } from './raw-image.ts';
import { findRedo, keepAsRedo, type Redo, removeRedo, writeRedo } from './redo.ts';
import { identityFailed } from './tool.ts';
import type { ImageName, WorkFolder } from './work-folder.ts';

export interface ImageChange {
  /**
   * What is still to be done, looked at in the tree as it is; none when all is done.
   * @throws what it finds to be neither as before nor as after
   */
  remaining(tree: ExtTree): Promise<readonly FileEdit[]>;
  /** The root is to fill the disk. */
  readonly grow: boolean;
}

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
): Promise<{ offsetBytes: number; sizeBytes: number; done: boolean }> {
  const opened = await openImage(name, work, signal);
  try {
    const { offsetBytes, sizeBytes, clean } = opened;
    const done = clean && (await change.remaining(opened.tree)).length === 0;
    return { offsetBytes, sizeBytes, done: done && (await faultIn(name.path, offsetBytes, signal)) === null };
  } finally {
    await opened.close();
  }
}

interface Work {
  readonly image: string;
  readonly name: ImageName;
  readonly offsetBytes: number;
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
    await editIn(overlay, given);
    onStep('close');
    await overlay.close();
  } catch (error) {
    await overlay.discard();
    throw error;
  }
  onStep('keep');
  return keepAsRedo(overlay.file, work.path, name, offsetBytes);
}

async function editIn(overlay: Overlay, given: Work): Promise<void> {
  const { image, change, folder, signal, onStep } = given;
  onStep('repair');
  await repairAll(image, overlay.path, signal);
  const edits = await withTree(overlay.path, given, (tree) => change.remaining(tree));
  onStep('edit');
  if (edits.length > 0) await editFiles(overlay.path, edits, folder, signal);
  if (given.roomBytes !== null) {
    onStep('grow');
    // It insists on a check that is newer than the last change.
    await repairAll(image, overlay.path, signal);
    await growFileSystem(overlay.path, given.roomBytes, signal);
  }
  onStep('check');
  const left = await withTree(overlay.path, given, (tree) => change.remaining(tree));
  if (left.length > 0) throw identityFailed(`${left.map(({ path }) => path).join(', ')} could not be changed`);
  let fault = await faultIn(overlay.path, 0, signal);
  if (fault === null) return;
  // debugfs keeps no accounts of quotas; e2fsck does that, and sees for itself whether that was all.
  await repairAll(image, overlay.path, signal);
  fault = await faultIn(overlay.path, 0, signal);
  if (fault !== null) throw identityFailed(`the file system in ${image} would not be whole afterwards: ${fault}`);
}

async function withTree<T>(path: string, given: Work, use: (tree: ExtTree) => Promise<T>): Promise<T> {
  const file = await ImageFile.open(path, given.image, given.signal);
  try {
    const bytes = await file.read(SUPERBLOCK_OFFSET_BYTES, SUPERBLOCK_BYTES);
    const result = parseSuperblock(bytes);
    if (result.kind !== 'ext') throw new UnderstudyError('IMAGE_DAMAGED', `${given.image} has lost its superblock`);
    return await use(new ExtTree(new ExtFileSystem(file, 0, result.superblock)));
  } finally {
    await file.close();
  }
}
