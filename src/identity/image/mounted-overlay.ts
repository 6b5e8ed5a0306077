// A private overlay of an image, mounted by the kernel.
import { KernelMount, MountedTree, type MountType } from '../mounted/mod.ts';
import type { RootFileSystem } from './candidates.ts';
import type { ShownPart } from './overlay.ts';

export interface MountedOverlay {
  readonly tree: MountedTree;
  readonly mount: KernelMount;
}

/** Whoever asks ends the mount before the overlay. @throws as KernelMount.open */
export async function mountOf(
  { pid, place }: ShownPart,
  holds: RootFileSystem,
  options: { readonly folder: string; readonly name: string; readonly signal: AbortSignal },
): Promise<MountedOverlay> {
  const type: MountType = holds.type === 'ext' ? 'ext4' : holds.type;
  const subvolume = holds.type === 'ext' ? null : holds.subvolume;
  const mount = await KernelMount.open({ ...options, type, subvolume, pid, file: place });
  const uuid = holds.type === 'ext' ? holds.superblock.uuid : holds.uuid;
  return { tree: new MountedTree(mount.root, uuid), mount };
}
