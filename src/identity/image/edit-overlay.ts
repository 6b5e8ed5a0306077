// A change made in a private overlay, and judged before anything of it gets out: ext by its own programs, what they do not know mounted
// by the kernel. Commands of the image need a mount in any case.
import { UnderstudyError } from '../../base/mod.ts';
import { openExt } from '../ext/mod.ts';
import { editMounted, type InsideCommand, runInside } from '../mounted/mod.ts';
import type { FileEdit, ImageTree } from '../tree/mod.ts';
import type { FileSystem } from './candidates.ts';
import { faultIn, faultInMounted, repairAll } from './check.ts';
import { editFiles } from './edit.ts';
import { growFileSystem } from './grow.ts';
import { type MountedOverlay, mountOf } from './mounted-overlay.ts';
import type { Overlay } from './overlay.ts';
import { identityFailed } from './tool.ts';

/** What is still to be done to a file system. */
export interface Remaining {
  readonly edits: readonly FileEdit[];
  /** After the edits. */
  readonly commands: readonly InsideCommand[];
}

export interface ImageChange {
  /**
   * What is still to be done, looked at in the tree as it is; none when all is done.
   * @throws what it finds to be neither as before nor as after
   */
  remaining(tree: ImageTree): Promise<Remaining>;
  /** The root is to fill the disk. */
  readonly grow: boolean;
}

export interface OverlayEdit {
  /** What messages call it. */
  readonly image: string;
  readonly holds: FileSystem;
  readonly change: ImageChange;
  /** What the file system is to fill; null: it stays as large as it is. */
  readonly roomBytes: number | null;
  readonly kernelMount: boolean;
  /** Private. */
  readonly folder: string;
  readonly signal: AbortSignal;
  /** Told the name of each step before it begins. */
  readonly onStep: (step: string) => void;
}

/** @throws IMAGE_DAMAGED, IMAGE_UNSUPPORTED, IDENTITY_FAILED, TOOL_MISSING, INTERRUPTED: the overlay is of no use then */
export async function editOverlay(overlay: Overlay, edit: OverlayEdit): Promise<void> {
  const { holds, image, signal } = edit;
  if (holds.type === 'ext') await editExt(overlay, edit);
  else await withMount(overlay, edit, (mounted) => editAndRun(mounted, edit));
  const isExt = holds.type === 'ext';
  let fault = await (isExt ? faultIn(overlay.path, 0, signal) : faultInMounted(holds.type, overlay.path, signal));
  if (fault !== null && isExt) {
    // debugfs keeps no accounts of quotas; e2fsck does that, and sees for itself whether that was all.
    await repairAll(image, overlay.path, signal);
    fault = await faultIn(overlay.path, 0, signal);
  }
  if (fault !== null) throw identityFailed(`the file system in ${image} would not be whole afterwards: ${fault}`);
}

async function editExt(overlay: Overlay, edit: OverlayEdit): Promise<void> {
  const { image, change, folder, signal, onStep } = edit;
  onStep('repair');
  await repairAll(image, overlay.path, signal);
  const { edits, commands } = await withTree(overlay.path, edit, (tree) => change.remaining(tree));
  onStep('edit');
  if (edits.length > 0) await editFiles(overlay.path, edits, folder, signal);
  if (edit.roomBytes !== null) {
    onStep('grow');
    // It insists on a check that is newer than the last change.
    await repairAll(image, overlay.path, signal);
    await growFileSystem(overlay.path, edit.roomBytes, signal);
  }
  if (commands.length > 0) await withMount(overlay, edit, (mounted) => runAll(mounted, commands, edit));
  onStep('check');
  await withTree(overlay.path, edit, (tree) => refuseLeft(tree, change));
}

async function editAndRun(mounted: MountedOverlay, edit: OverlayEdit): Promise<void> {
  const { tree } = mounted;
  const { change, onStep } = edit;
  const { edits, commands } = await change.remaining(tree);
  onStep('edit');
  await editMounted(tree, edits);
  await runAll(mounted, commands, edit);
  onStep('check');
  await refuseLeft(tree, change);
}

async function runAll(
  { tree, mount }: MountedOverlay,
  commands: readonly InsideCommand[],
  { signal, onStep }: OverlayEdit,
): Promise<void> {
  for (const command of commands) {
    onStep('run');
    await runInside(mount, command, signal);
    tree.forget();
  }
}

async function refuseLeft(tree: ImageTree, change: ImageChange): Promise<void> {
  const { edits, commands } = await change.remaining(tree);
  const left = [...edits.map(({ path }) => path), ...commands.map(({ command }) => `what ${command[0]} is run for`)];
  if (left.length > 0) throw identityFailed(`${left.join(', ')} could not be changed`);
}

async function withMount(
  overlay: Overlay,
  { holds, image, folder, signal, kernelMount }: OverlayEdit,
  use: (mounted: MountedOverlay) => Promise<void>,
): Promise<void> {
  if (!kernelMount) {
    const why = 'a rule runs a command in the image, which takes a kernel mount (--kernel-mount)';
    throw new UnderstudyError('IMAGE_UNSUPPORTED', `${image} is as it was: ${why}`);
  }
  const mounted = await mountOf(overlay, holds, { folder, name: image, signal });
  try {
    await use(mounted);
  } catch (error) {
    await mounted.mount.discard();
    throw error;
  }
  await mounted.mount.close();
}

async function withTree<T>(
  path: string,
  { image, signal }: OverlayEdit,
  use: (tree: ImageTree) => Promise<T>,
): Promise<T> {
  const { tree, file } = await openExt(path, image, signal);
  try {
    return await use(tree);
  } finally {
    await file.close();
  }
}
