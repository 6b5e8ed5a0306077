// Which rule meant what starts, as rules tell while they look.
import type { Start } from '../starts/mod.ts';
import type { FileTree } from '../tree/mod.ts';

const meant = new WeakMap<FileTree, Map<string, string>>();

/** By a rule that has found what these use. */
export function meanStarts(tree: FileTree, starts: readonly Start[], rule: string): void {
  const known = meant.get(tree) ?? new Map<string, string>();
  for (const start of starts) known.set(keyOf(start), rule);
  meant.set(tree, known);
}

/** Null: none did. */
export function rulesOfStart(tree: FileTree, start: Start): string | null {
  return meant.get(tree)?.get(keyOf(start)) ?? null;
}

function keyOf({ way, name, file, line }: Start): string {
  return JSON.stringify([way, name, file, line]);
}
