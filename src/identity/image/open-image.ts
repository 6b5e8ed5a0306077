// An image opened for reading: its root file system found by content, and with it those that it mounts from the same
// disk.
import { UnderstudyError } from '../../base/mod.ts';
import { ImageFile } from '../ext/mod.ts';
import { systemKindOf } from '../system-kind.ts';
import { type DiskUse, type FileTree, fileTree, type ImageTree, isWithin, JoinedTree } from '../tree/mod.ts';
import { type Attachment, Fstab } from './attachments.ts';
import { type Candidate, type Candidates, type FileSystem, findCandidates, type RootFileSystem } from './candidates.ts';
import type { Below } from './overlay.ts';
import type { RawImage } from './raw-image.ts';
import { findRedo } from './redo.ts';
import { naming } from './tool.ts';
import { type Place, type View, viewOf } from './view.ts';
import type { WorkFolder } from './work-folder.ts';

/** Files that a system has; one of them beside /etc is enough. */
const SIGNS = [
  ...['/etc/os-release', '/usr/lib/os-release', '/etc/passwd', '/etc/hostname', '/etc/fstab', '/etc/machine-id'],
  // Systems before os-release(5).
  ...['/etc/redhat-release', '/etc/SuSE-release', '/etc/HOSTNAME', '/etc/sysconfig/network', '/etc/debian_version'],
];

export interface OpenImage {
  /** All of the system, as it sees it itself. */
  readonly tree: ImageTree;
  readonly root: Place & { readonly holds: RootFileSystem };
  /** What it mounts from the same disk, the outer ones first. */
  readonly attached: readonly Place[];
  close(): Promise<void>;
}

type Look = (candidate: Candidate) => Promise<View>;

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
  const below: Below = redo === null ? { path: name.path, format: 'raw' } : { path: redo.file, format: 'qcow2' };
  const look: Look = (candidate) => viewOf({ below, image, work, signal }, candidate, redo === null ? file : null);
  try {
    const candidates = await findCandidates(file, name, signal);
    const root = await findRoot(image, candidates, look, views);
    const fstab = await Fstab.of(fileTree(root.tree));
    const others = candidates.found.filter(({ offsetBytes }) => offsetBytes !== root.offsetBytes);
    const parts = await attach(root, fstab.attachments(others), look, views);
    const [, ...attached] = parts.map(({ at, view }) => ({ ...placeOf(view), at }));
    const disk = {
      attached: parts.slice(1).map(({ at, view, line }) => ({ at, line, type: view.holds.type, uuid: view.tree.uuid })),
      swaps: fstab.swaps(candidates.swaps),
      unread: unreadOf(candidates, others, attached),
    };
    return {
      tree: new JoinedTree(
        parts.map(({ at, view }) => ({ at, tree: view.tree })),
        disk,
      ),
      root: { ...placeOf(root), at: '/' },
      attached,
      close: closeAll,
    };
  } catch (error) {
    await closeAll();
    throw error;
  }
}

function placeOf<Holds extends FileSystem>({ holds, offsetBytes, sizeBytes, clean }: View & { readonly holds: Holds }) {
  return { holds, offsetBytes, sizeBytes, clean };
}

/** It stays open, and with it whatever else looks like one until that is known. */
async function findRoot(
  image: string,
  candidates: Candidates,
  look: Look,
  views: View[],
): Promise<View & { readonly holds: RootFileSystem }> {
  const roots: (View & { readonly holds: RootFileSystem })[] = [];
  const kinds: string[] = [];
  let failure: UnderstudyError | null = null;
  for (const candidate of candidates.found) {
    const { holds } = candidate;
    // A tree of btrfs whose default is the root may be found by its name again.
    if (holds.type === 'fat' || roots.some(({ offsetBytes }) => offsetBytes === candidate.offsetBytes)) continue;
    try {
      const view = { ...(await look(candidate)), holds };
      views.push(view);
      if (await isRoot(fileTree(view.tree))) {
        roots.push(view);
        continue;
      }
      const kind = await systemKindOf(fileTree(view.tree));
      if (kind !== null) kinds.push(`at byte ${candidate.offsetBytes}: ${kind.name}. ${kind.why}`);
      views.pop();
      await view.close();
    } catch (error) {
      const next = aboutImage(error, failure);
      // That there is no such subvolume says nothing about the file system.
      if (!('subvolume' in holds) || holds.subvolume === null) failure = next;
    }
  }
  return theRoot(image, roots, { ...candidates, obstacles: [...kinds, ...candidates.obstacles] }, failure);
}

interface AttachedView {
  readonly at: string;
  readonly view: View;
  readonly line: string;
}

/**
 * The root and what it mounts, the root first. What is in no folder of its own is not mounted; a file system has one
 * place here, for it could not be written in two (further subvolumes of a btrfs stay outside); and nothing is mounted
 * over what is a part already.
 */
async function attach(
  root: View,
  attachments: readonly Attachment[],
  look: Look,
  views: View[],
): Promise<readonly AttachedView[]> {
  const parts: AttachedView[] = [{ at: '/', view: root, line: '' }];
  for (const { at, candidate, line, isSure } of attachments) {
    const tree = new JoinedTree(parts.map((part) => ({ at: part.at, tree: part.view.tree })));
    const place = await fileTree(tree).place(at);
    if (place?.entry?.kind !== 'folder' || place.path === '/') continue;
    const isTaken = parts.some(
      (part) => isWithin(part.at, place.path) || part.view.offsetBytes === candidate.offsetBytes,
    );
    if (isTaken || (!isSure && (await tree.names(place.path)).length > 0)) continue;
    const view = await naming(place.path, () => look(candidate));
    views.push(view);
    parts.push({ at: place.path, view, line });
  }
  return parts;
}

/** What rules do not see of the disk. */
function unreadOf(candidates: Candidates, others: readonly Candidate[], attached: readonly Place[]): DiskUse['unread'] {
  const outside = others.filter(({ offsetBytes }) => !attached.some((one) => one.offsetBytes === offsetBytes));
  // A btrfs is a candidate by each of the names that its root may have.
  const types = new Map(outside.map(({ offsetBytes, holds }) => [offsetBytes, holds.type]));
  const unknown = candidates.unknown.map((where) => `${where}: nothing that is known`);
  return [
    ...[...types].map(([offsetBytes, type]) => ({
      type,
      text: `at byte ${offsetBytes}: ${type}, which nothing mounts`,
    })),
    ...[...candidates.obstacles, ...unknown].map((text) => ({ type: '', text })),
  ];
}

/** What is wrong with one file system does not matter when another one is the root; everything else does. */
function aboutImage(error: unknown, before: UnderstudyError | null): UnderstudyError {
  const isAboutImage = error instanceof UnderstudyError && ['IMAGE_DAMAGED', 'IMAGE_UNSUPPORTED'].includes(error.code);
  if (!isAboutImage) throw error;
  return before ?? error;
}

function theRoot<V extends View>(
  image: string,
  views: readonly V[],
  candidates: Candidates,
  failure: UnderstudyError | null,
): V {
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
