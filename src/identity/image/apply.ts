// Files changed in an image, all of them or none: in a private overlay, which is repaired unless it says that it is whole, checked
// afterwards, and then written to the image from a redo log. A crash at any moment leaves an image that is as before, or that the next call completes.
import { rm } from 'node:fs/promises';
import { UnderstudyError } from '../../base/mod.ts';
import { ImageFile } from '../ext/mod.ts';
import { isWithin } from '../tree/mod.ts';
import { faultIn } from './check.ts';
import { editOverlay, type ImageChange } from './edit-overlay.ts';
import { editableOf, type Repair, saysWhole } from './editable.ts';
import { growPartition, hasRoom, roomFor } from './grow.ts';
import { type OpenImage, openImage } from './open-image.ts';
import { Overlay } from './overlay.ts';
import type { RawImage } from './raw-image.ts';
import { findRedo, keepAsRedo, type Redo, removeRedo, writeRedo } from './redo.ts';
import { isPlain, type Place, type PlainPlace, plainTree } from './view.ts';
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
  await work.removeLeftovers(purposeOf(name));
  onStep('look');
  const parts = await lookAt(name, change, work, signal);
  if (parts === null) return;
  const redo = await makeRedo(parts, { name, change, work, signal, onStep });
  // From here on there is no way back, only forward.
  onStep('write');
  await writeRedo(redo, name, (step) => onStep(`write ${step}`));
}

function purposeOf({ key }: ImageName): string {
  return `apply-${key}`;
}

async function finishRedo(name: ImageName, work: WorkFolder, onStep: OnStep): Promise<void> {
  const redo = await findRedo(work.path, name);
  if (redo !== null) await writeRedo(redo, name, (step) => onStep(`recover ${step}`));
  await removeRedo(work.path, name);
}

/** What a change concerns. */
interface Parts {
  readonly root: OpenImage['root'];
  /** What the root is to fill; null: it stays as large as it is. */
  readonly roomBytes: number | null;
  /** The root first. `isChanged`: not only its journal is replayed. */
  readonly edited: readonly (Place & { readonly isChanged: boolean })[];
  readonly untouched: readonly PlainPlace[];
  /** All of it is done by editing files, in file systems of which one at least says it is whole. */
  readonly mayPresume: boolean;
}

/** Null when nothing is to be done, which for a dirty root is never so: it is to be made clean. */
async function lookAt(
  name: RawImage,
  change: ImageChange,
  work: WorkFolder,
  signal: AbortSignal,
): Promise<Parts | null> {
  const opened = await openImage(name, work, signal);
  try {
    const { root, attached, tree } = opened;
    const { edits, commands } = await change.remaining(tree);
    const roomBytes = change.grow ? await makeRoom(name, root, signal) : null;
    if (edits.length === 0 && commands.length === 0 && roomBytes === null && root.clean) {
      // What the kernel mounts it has replayed for us to look at; whether it is whole is asked when it is changed.
      if (root.holds.type !== 'ext' || (await faultIn(name.path, root.offsetBytes, signal)) === null) return null;
    }
    const places = [root, ...attached];
    const isChanged = (place: Place): boolean => {
      // A command may write anywhere.
      const mayBeWritten = commands.length > 0 && place.holds.type !== 'fat';
      return place === root || mayBeWritten || edits.some(({ path }) => innermost(places, path) === place);
    };
    const untouched = places.filter((place) => !isChanged(place)).filter(isPlain);
    const edited = places.filter((place) => !untouched.some((one) => one === place));
    const mayPresume = roomBytes === null && commands.length === 0 && edited.some(({ holds }) => saysWhole(holds));
    const changed = edited.map((place) => ({ ...place, isChanged: isChanged(place) }));
    return { root, roomBytes, edited: changed, untouched, mayPresume };
  } finally {
    await opened.close();
  }
}

function innermost(places: readonly Place[], path: string): Place | undefined {
  return places.filter(({ at }) => isWithin(path, at)).sort((one, other) => other.at.length - one.at.length)[0];
}

/** The table is changed at once. What the root may fill then; null when that is worth nothing. @throws IMAGE_UNSUPPORTED */
async function makeRoom(name: RawImage, root: Place, signal: AbortSignal): Promise<number | null> {
  const { holds, offsetBytes, sizeBytes } = root;
  if (holds.type !== 'ext')
    throw new UnderstudyError('IMAGE_UNSUPPORTED', `the ${holds.type} in ${name.label} cannot be made larger here`);
  await growPartition(name, offsetBytes, signal);
  const roomBytes = await roomFor(name, offsetBytes, signal);
  return hasRoom(sizeBytes, roomBytes) ? roomBytes : null;
}

interface Work {
  readonly name: RawImage;
  readonly change: ImageChange;
  readonly work: WorkFolder;
  readonly signal: AbortSignal;
  readonly onStep: OnStep;
}

async function makeRedo(parts: Parts, given: Work): Promise<Redo> {
  if (parts.mayPresume) {
    try {
      return await tryRedo(parts, given, 'presumed');
    } catch (error) {
      // Whatever it was may come from damage that a repair finds before it does harm, and can name.
      if (given.signal.aborted) throw error;
    }
  }
  return tryRedo(parts, given, 'whole');
}

async function tryRedo(parts: Parts, given: Work, repair: Exclude<Repair, 'journal'>): Promise<Redo> {
  const folder = await given.work.make(purposeOf(given.name));
  try {
    return await redoIn(folder, parts, given, repair);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function redoIn(folder: string, parts: Parts, given: Work, repair: Exclude<Repair, 'journal'>): Promise<Redo> {
  const { name, work, signal, onStep } = given;
  const { root, roomBytes } = parts;
  const { kernelMount, label: image } = name;
  onStep('overlay');
  const file = await ImageFile.open(name.path, image, signal);
  const offsets = parts.edited.map(({ offsetBytes }) => offsetBytes);
  let overlay: Overlay | null = null;
  try {
    const open = await Overlay.open({ path: name.path, format: 'raw' }, offsets, folder, signal);
    overlay = open;
    const edited = parts.edited.map(({ at, holds, isChanged }, index) => {
      const part = open.part(index);
      return { at, isChanged, path: part.path, editable: editableOf(part, holds, { image, folder, signal }) };
    });
    const untouched = parts.untouched.map((place) => ({ at: place.at, tree: plainTree(file, place) }));
    await editOverlay({ ...given, image, edited, repair, untouched, roomBytes, kernelMount });
    onStep('close');
    await overlay.close();
    onStep('keep');
    const { offsetBytes, holds } = root;
    const isChecked = repair === 'whole';
    return await keepAsRedo(overlay.file, work.path, name, { offsetBytes, type: holds.type, isChecked });
  } catch (error) {
    await overlay?.discard();
    throw error;
  } finally {
    await file.close();
  }
}
