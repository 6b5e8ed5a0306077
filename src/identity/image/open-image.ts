// An image opened for reading: its root file system found by content, its journal replayed in a private overlay when it is dirty.
import { rm } from 'node:fs/promises';
import { UnderstudyError } from '../../base/mod.ts';
import { ExtFileSystem, ExtTree, ImageFile, openExt, type Superblock } from '../ext/mod.ts';
import { type FileTree, fileTree, type ImageTree } from '../tree/mod.ts';
import { type Candidate, type Candidates, type FileSystem, findCandidates } from './candidates.ts';
import { replayJournal } from './check.ts';
import { mountOf } from './mounted-overlay.ts';
import { type Below, Overlay } from './overlay.ts';
import type { RawImage } from './raw-image.ts';
import { findRedo } from './redo.ts';
import type { WorkFolder } from './work-folder.ts';

/** Files that a system has; one of them beside /etc is enough. */
const SIGNS = ['/etc/os-release', '/usr/lib/os-release', '/etc/passwd', '/etc/hostname', '/etc/fstab'];

export interface Root {
  readonly tree: ImageTree;
  readonly holds: FileSystem;
  readonly offsetBytes: number;
  /** Of the file system; 0 when the kernel mounts it. */
  readonly sizeBytes: number;
}

/** Of one file system. */
interface Place {
  readonly below: Below;
  readonly image: string;
  readonly work: WorkFolder;
  readonly signal: AbortSignal;
}

export interface OpenImage extends Root {
  /** Its journal is clean, and so the image itself was read. */
  readonly clean: boolean;
  close(): Promise<void>;
}

/** A file system of the image, opened; it may turn out not to be the root. */
interface View extends Root {
  readonly clean: boolean;
  close(): Promise<void>;
}

/** @throws IMAGE_UNSUPPORTED, IMAGE_DAMAGED, IDENTITY_FAILED, TOOL_MISSING, INTERRUPTED */
export async function openImage(name: RawImage, work: WorkFolder, signal: AbortSignal): Promise<OpenImage> {
  const image = name.label;
  const redo = await findRedo(work.path, name);
  const file = await ImageFile.open(name.path, image, signal);
  const views: View[] = [];
  const closeAll = async (): Promise<void> => {
    for (const view of views.splice(0)) await view.close();
    await file.close();
  };
  try {
    const candidates = await findCandidates(file, name, signal);
    let failure: UnderstudyError | null = null;
    for (const candidate of candidates.found) {
      // A tree of btrfs whose default is the root may be found by its name again.
      if (views.some(({ offsetBytes }) => offsetBytes === candidate.offsetBytes)) continue;
      try {
        const below: Below = redo === null ? { path: name.path, format: 'raw' } : { path: redo.file, format: 'qcow2' };
        const view = await viewOf({ below, image, work, signal }, candidate, redo === null ? file : null);
        views.push(view);
        if (await isRoot(fileTree(view.tree))) continue;
        views.pop();
        await view.close();
      } catch (error) {
        const next = aboutImage(error, failure);
        // That there is no such subvolume says nothing about the file system.
        if (!('subvolume' in candidate.holds) || candidate.holds.subvolume === null) failure = next;
      }
    }
    const root = theRoot(image, views, candidates, failure);
    return { ...root, close: closeAll };
  } catch (error) {
    await closeAll();
    throw error;
  }
}

function sizeOf({ blockCount, blockBytes }: Superblock): number {
  return blockCount * blockBytes;
}

/** @param file the image as it is; null: changes to it have not been written yet */
async function viewOf(place: Place, { offsetBytes, holds }: Candidate, file: ImageFile | null): Promise<View> {
  if (holds.type !== 'ext') return mountedView(place, offsetBytes, holds);
  if (file === null || holds.superblock.needsRecovery) return viewOver(place, offsetBytes);
  const tree = new ExtTree(new ExtFileSystem(file, offsetBytes, holds.superblock));
  return { tree, holds, offsetBytes, sizeBytes: sizeOf(holds.superblock), clean: true, close: async () => {} };
}

/** The kernel replays the journal, in the overlay. Whether there was one to replay it does not tell. */
async function mountedView(
  { below, image, work, signal }: Place,
  offsetBytes: number,
  holds: Exclude<FileSystem, { type: 'ext' }>,
): Promise<View> {
  const folder = await work.make('look');
  let overlay: Overlay | null = null;
  let close = async (): Promise<void> => {
    await overlay?.discard();
    await rm(folder, { recursive: true, force: true });
  };
  try {
    overlay = await Overlay.open(below, offsetBytes, folder, signal);
    const { tree, mount } = await mountOf(overlay, holds, { folder, name: image, signal });
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

/** The file system with its journal replayed. What becomes of the overlay concerns nobody. */
async function viewOver({ below, image, work, signal }: Place, offsetBytes: number): Promise<View> {
  const folder = await work.make('look');
  let overlay: Overlay | null = null;
  let file: ImageFile | null = null;
  const close = async (): Promise<void> => {
    await file?.close();
    await overlay?.discard();
    await rm(folder, { recursive: true, force: true });
  };
  try {
    overlay = await Overlay.open(below, offsetBytes, folder, signal);
    await replayJournal(image, overlay.path, signal);
    const opened = await openExt(overlay.path, image, signal);
    file = opened.file;
    const { tree, superblock } = opened;
    return {
      tree,
      holds: { type: 'ext', superblock },
      offsetBytes,
      sizeBytes: sizeOf(superblock),
      clean: false,
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

/** What is wrong with one file system does not matter when another one is the root; everything else does. */
function aboutImage(error: unknown, before: UnderstudyError | null): UnderstudyError {
  const isAboutImage = error instanceof UnderstudyError && ['IMAGE_DAMAGED', 'IMAGE_UNSUPPORTED'].includes(error.code);
  if (!isAboutImage) throw error;
  return before ?? error;
}

function theRoot(image: string, views: readonly View[], candidates: Candidates, failure: UnderstudyError | null): View {
  const [root, second] = views;
  if (root !== undefined && second === undefined) return root;
  if (root !== undefined) {
    const places = views.map(({ offsetBytes }) => offsetBytes).join(', ');
    throw new UnderstudyError('IMAGE_UNSUPPORTED', `${image} has more than one root file system: at bytes ${places}`);
  }
  if (failure !== null) throw failure;
  const obstacles = candidates.obstacles.length === 0 ? '' : ` (${candidates.obstacles.join('; ')})`;
  const code = candidates.damaged ? 'IMAGE_DAMAGED' : 'IMAGE_UNSUPPORTED';
  throw new UnderstudyError(code, `${image} has no root file system that can be read${obstacles}`);
}

async function isRoot(tree: FileTree): Promise<boolean> {
  if ((await tree.stat('/etc'))?.kind !== 'folder') return false;
  for (const sign of SIGNS) {
    if ((await tree.stat(sign))?.kind === 'file') return true;
  }
  return false;
}

/** Opens it for as long as something is done with its files. */
export async function withTree<T>(
  raw: RawImage,
  work: WorkFolder,
  signal: AbortSignal,
  use: (tree: ImageTree) => Promise<T>,
): Promise<T> {
  const opened = await openImage(raw, work, signal);
  try {
    return await use(opened.tree);
  } finally {
    await opened.close();
  }
}
