// One file system of an image, opened for reading: where it lies, or in a private overlay when something is still to be written to it or
// only the kernel can read it.
import { rm } from 'node:fs/promises';
import { ExtFileSystem, ExtTree, type ImageFile, openExt } from '../ext/mod.ts';
import { FatTree, openFat } from '../fat/mod.ts';
import type { ImageTree } from '../tree/mod.ts';
import type { Candidate, FileSystem, Mountable } from './candidates.ts';
import { replayJournal } from './check.ts';
import { mountOf } from './mounted-overlay.ts';
import { type Below, Overlay } from './overlay.ts';
import type { WorkFolder } from './work-folder.ts';

type Plain = Exclude<FileSystem, Mountable>;

/** A file system of the image, in its place. */
export interface Place<Holds extends FileSystem = FileSystem> {
  /** Canonical path that it is mounted over; "/" for the root. */
  readonly at: string;
  readonly holds: Holds;
  readonly offsetBytes: number;
  /** 0 where only the kernel knows. */
  readonly sizeBytes: number;
  /** Its journal is clean, and so the image itself is read. */
  readonly clean: boolean;
}

/** Where views look. */
export interface Source {
  readonly below: Below;
  readonly image: string;
  readonly work: WorkFolder;
  readonly signal: AbortSignal;
}

export type PlainPlace = Place<Plain>;

/** A file system of the image, opened; it may turn out not to be the root. */
export interface View extends Omit<Place, 'at'> {
  readonly tree: ImageTree;
  close(): Promise<void>;
}

function sizeOf(holds: Plain): number {
  return holds.type === 'fat' ? holds.boot.sizeBytes : holds.superblock.blockCount * holds.superblock.blockBytes;
}

/** @param file the image as it is; null: changes to it have not been written yet */
export async function viewOf(source: Source, { offsetBytes, holds }: Candidate, file: ImageFile | null): Promise<View> {
  if (isMountable(holds)) return mountedView(source, offsetBytes, holds);
  if (file === null || (holds.type === 'ext' && holds.superblock.needsRecovery))
    return viewOver(source, offsetBytes, holds);
  const tree = plainTree(file, { offsetBytes, holds });
  return { tree, holds, offsetBytes, sizeBytes: sizeOf(holds), clean: true, close: async () => {} };
}

/** Its files from where they lie in the image. */
export function plainTree(
  file: ImageFile,
  { offsetBytes, holds }: Pick<PlainPlace, 'offsetBytes' | 'holds'>,
): ImageTree {
  if (holds.type === 'fat') return new FatTree(file, offsetBytes, holds.boot);
  return new ExtTree(new ExtFileSystem(file, offsetBytes, holds.superblock));
}

function isMountable(holds: FileSystem): holds is Mountable {
  return holds.type === 'xfs' || holds.type === 'btrfs';
}

/** It can be read where it lies. */
export function isPlain(place: Place): place is PlainPlace {
  return place.clean && !isMountable(place.holds);
}

/** The kernel replays the journal, in the overlay. Whether there was one to replay it does not tell. */
async function mountedView(
  { below, image, work, signal }: Source,
  offsetBytes: number,
  holds: Mountable,
): Promise<View> {
  const folder = await work.make('look');
  let overlay: Overlay | null = null;
  let close = async (): Promise<void> => {
    await overlay?.discard();
    await rm(folder, { recursive: true, force: true });
  };
  try {
    overlay = await Overlay.open(below, [offsetBytes], folder, signal);
    const { tree, mount } = await mountOf(overlay.part(0), holds, { folder, name: image, signal });
    const discard = close;
    close = async () => {
      await mount.discard();
      await discard();
    };
    return { tree, holds, offsetBytes, sizeBytes: 0, clean: true, close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** The file system with what is still to be written to it: its journal, our own changes. What becomes of the overlay concerns nobody. */
async function viewOver({ below, image, work, signal }: Source, offsetBytes: number, holds: Plain): Promise<View> {
  const folder = await work.make('look');
  let overlay: Overlay | null = null;
  let file: ImageFile | null = null;
  const close = async (): Promise<void> => {
    await file?.close();
    await overlay?.discard();
    await rm(folder, { recursive: true, force: true });
  };
  try {
    overlay = await Overlay.open(below, [offsetBytes], folder, signal);
    const { path } = overlay.part(0);
    if (holds.type === 'fat') {
      const opened = await openFat(path, image, signal);
      file = opened.file;
      return { tree: opened.tree, holds, offsetBytes, sizeBytes: sizeOf(holds), clean: true, close };
    }
    await replayJournal(image, path, signal);
    const opened = await openExt(path, image, signal);
    file = opened.file;
    const replayed = { type: 'ext', superblock: opened.superblock } as const;
    return { tree: opened.tree, holds: replayed, offsetBytes, sizeBytes: sizeOf(replayed), clean: false, close };
  } catch (error) {
    await close();
    throw error;
  }
}
