// A change made in a private overlay, and judged before anything of it gets out: of all file systems of a system that
// it concerns, the root among them in any case. Commands of the image need a mount.
import { UnderstudyError } from '../../base/mod.ts';
import { type InsideCommand, runInside } from '../mounted/mod.ts';
import { type FileEdit, type ImageTree, insideOf, isWithin, JoinedTree, type Part, printable } from '../tree/mod.ts';
import { repairAll } from './check.ts';
import type { Editable, Repair } from './editable.ts';
import { growFileSystem } from './grow.ts';
import { identityFailed, naming } from './tool.ts';

/** What is still to be done to a system. */
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

/** A file system that the change concerns, in its place. The root comes first. */
export interface EditedPart {
  readonly at: string;
  /** Where its own programs find it. */
  readonly path: string;
  readonly editable: Editable;
  /** Otherwise only its journal is replayed: a check reads all of it, and nothing of it changes. */
  readonly isChanged: boolean;
}

export interface OverlayEdit {
  /** What messages call it. */
  readonly image: string;
  readonly edited: readonly EditedPart[];
  /** For those that are changed. */
  readonly repair: Exclude<Repair, 'journal'>;
  /** Those that it does not concern, as they are. */
  readonly untouched: readonly Part[];
  readonly change: ImageChange;
  /** What the root is to fill; null: it stays as large as it is. */
  readonly roomBytes: number | null;
  readonly kernelMount: boolean;
  readonly signal: AbortSignal;
  /** Told the name of each step before it begins. */
  readonly onStep: (step: string) => void;
}

/**
 * @throws IMAGE_DAMAGED, IMAGE_UNSUPPORTED, IDENTITY_FAILED, TOOL_MISSING, INTERRUPTED: the overlay is of no use then
 */
export async function editOverlay(edit: OverlayEdit): Promise<void> {
  const { edited, image, change, onStep } = edit;
  try {
    onStep('repair');
    for (const { at, editable, isChanged } of edited) {
      await naming(at, () => editable.repair(isChanged ? edit.repair : 'journal'));
    }
    const { edits, commands } = await change.remaining(await treeOf(edit));
    onStep('edit');
    const byPart = groupEdits(edits, edit);
    for (const part of edited) if (part.isChanged) await part.editable.edit(byPart.get(part) ?? []);
    if (edit.roomBytes !== null) await growRoot(edit, edit.roomBytes);
    if (commands.length > 0) await runAll(commands, edit);
    onStep('check');
    await refuseLeft(await treeOf(edit), change);
    for (const { editable } of edited) await editable.rest();
  } catch (error) {
    for (const { editable } of edited) await editable.discard();
    throw error;
  }
  for (const { at, editable } of edited) {
    const fault = await editable.fault();
    const which = at === '/' ? 'the file system' : `the file system of ${printable(at)}`;
    if (fault !== null) throw identityFailed(`${which} in ${image} would not be whole afterwards: ${fault}`);
  }
}

async function treeOf({ edited, untouched }: OverlayEdit): Promise<ImageTree> {
  const parts: Part[] = [];
  for (const { at, editable } of edited) parts.push({ at, tree: await editable.tree() });
  return new JoinedTree([...parts, ...untouched]);
}

/** Each by the name that it has in its own file system. */
function groupEdits(edits: readonly FileEdit[], { edited, untouched }: OverlayEdit): Map<EditedPart, FileEdit[]> {
  const innermost = [...edited, ...untouched].sort((one, other) => other.at.length - one.at.length);
  const groups = new Map<EditedPart, FileEdit[]>();
  for (const edit of edits) {
    const place = innermost.find(({ at }) => isWithin(edit.path, at));
    const part = edited.find(({ at, isChanged }) => at === place?.at && isChanged);
    if (part === undefined) throw identityFailed(`${edit.path} has changed while it was looked at`);
    const group = groups.get(part) ?? [];
    const { state } = edit;
    const inside = state.kind === 'renamed' ? { ...state, from: insideOf(state.from, part.at) } : state;
    group.push({ ...edit, path: insideOf(edit.path, part.at), state: inside });
    groups.set(part, group);
  }
  return groups;
}

async function growRoot({ edited, image, signal, onStep }: OverlayEdit, roomBytes: number): Promise<void> {
  const [root] = edited;
  if (root === undefined) return;
  onStep('grow');
  await root.editable.rest();
  // It insists on a check that is newer than the last change.
  await repairAll(image, root.path, signal);
  await growFileSystem(root.path, roomBytes, signal);
}

/** In the root, with everything else mounted in it but FAT, which no command is run for, and what lies within that. */
async function runAll(commands: readonly InsideCommand[], edit: OverlayEdit): Promise<void> {
  const { edited, image, kernelMount, signal, onStep } = edit;
  if (!kernelMount) {
    const why = 'a rule runs a command in the image, which takes a kernel mount (--kernel-mount)';
    throw new UnderstudyError('IMAGE_UNSUPPORTED', `${image} is as it was: ${why}`);
  }
  const [root, ...others] = edited;
  for (const { editable } of edited) await editable.rest();
  const outside = [...others.filter(({ editable }) => editable.mountable === null), ...edit.untouched];
  const within = others.flatMap(({ at, editable: { mountable } }) => {
    const isReached = !outside.some((one) => isWithin(at, one.at));
    return mountable === null || !isReached ? [] : [{ ...mountable, at }];
  });
  await root?.editable.withMount(within, async ({ mount, tree }) => {
    for (const command of commands) {
      onStep('run');
      await runInside(mount, command, signal);
      tree.forget();
    }
  });
}

async function refuseLeft(tree: ImageTree, change: ImageChange): Promise<void> {
  const { edits, commands } = await change.remaining(tree);
  const left = [...edits.map(({ path }) => path), ...commands.map(({ command }) => `what ${command[0]} is run for`)];
  if (left.length > 0) throw identityFailed(`${left.join(', ')} could not be changed`);
}
