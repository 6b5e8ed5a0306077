// What rules ask about units: does something start them, and how is that ended.
import type { FileTree } from '../tree/mod.ts';
import type { Edit } from './contract.ts';
import { stopEdits } from './stops.ts';
import { type Concerned, concerns, startsFor, type Wanted } from './wanted.ts';

/** What makes a unit start by itself, as paths; none when nothing does. */
export async function unitStarts(tree: FileTree, unit: string): Promise<readonly string[]> {
  const found = (await startsFor(tree, { units: [unit] })) ?? [];
  return found.flatMap(({ start }) => start.by.map(({ path }) => path));
}

/** All that can be done about it; what cannot is still in `unitStarts` afterwards. */
export async function disableUnit(tree: FileTree, unit: string): Promise<readonly Edit[]> {
  return (await stopsOf(tree, { units: [unit] })).edits;
}

export interface Stops {
  readonly starts: readonly Concerned[];
  readonly edits: readonly Edit[];
  /** Those that cannot be ended for sure. */
  readonly open: readonly Concerned[];
  /** Not everything that starts could be read. */
  readonly cut: boolean;
}

export async function stopsOf(tree: FileTree, wanted: Wanted): Promise<Stops> {
  const starts = await startsFor(tree, wanted);
  const edits: Edit[] = [];
  const open: Concerned[] = [];
  for (const one of starts ?? []) {
    const known = {
      units: wanted.units,
      programs: one.programs,
      ...(wanted.path === undefined ? {} : { path: wanted.path }),
    };
    const isMeant = (programs: readonly string[], text: string): boolean =>
      concerns({ ...one.start, name: '', aliases: [], programs, text, through: [], scripts: [] }, known) !== null;
    const some = await stopEdits(tree, one, isMeant);
    if (some === null) open.push(one);
    else edits.push(...some);
  }
  return { starts: starts ?? [], edits: merged(edits), open, cut: starts === null };
}

/** Lines of one file that are changed one by one: not yet seen by each other, so the last one would win. */
function merged(edits: readonly Edit[]): readonly Edit[] {
  const byPath = new Map<string, Edit>();
  for (const edit of edits) {
    const known = byPath.get(edit.path);
    byPath.set(
      edit.path,
      known?.kind === 'write' && edit.kind === 'write' ? { ...edit, text: bothOf(known.text, edit.text) } : edit,
    );
  }
  return [...byPath.values()];
}

/** Two texts of as many lines, in each of which some lines became comments. */
function bothOf(one: string, other: string): string {
  const others = other.split('\n');
  return one
    .split('\n')
    .map((line, index) => (line.includes('# understudy: ') ? line : (others[index] ?? line)))
    .join('\n');
}
