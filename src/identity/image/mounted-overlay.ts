// A private overlay of an image, mounted by the kernel.
import { KernelMount, type Mountable, MountedTree } from '../mounted/mod.ts';
import type { RootFileSystem } from './candidates.ts';
import type { ShownPart } from './overlay.ts';

export interface MountedOverlay {
  readonly tree: MountedTree;
  readonly mount: KernelMount;
}

/** Another file system of the same system, mounted in this one. */
export type Within = Mountable & { readonly at: string };

/** Whoever asks ends the mount before the overlay. @throws as KernelMount.open */
export async function mountOf(
  { pid, place }: ShownPart,
  holds: RootFileSystem,
  options: {
    readonly folder: string;
    readonly name: string;
    readonly signal: AbortSignal;
    readonly within?: readonly Within[];
  },
): Promise<MountedOverlay> {
  const mount = await KernelMount.open({ ...options, ...kindOf(holds), pid, file: place });
  const uuid = holds.type === 'ext' ? holds.superblock.uuid : holds.uuid;
  return { tree: new MountedTree(mount.root, uuid), mount };
}

export function kindOf(holds: RootFileSystem): Omit<Mountable, 'path'> {
  if (holds.type === 'ext') return { type: 'ext4', subvolume: null };
  return { type: holds.type, subvolume: holds.subvolume };
}
