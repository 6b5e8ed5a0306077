// Which rule meant what starts, as rules tell while they look.
import type { Start } from '../starts/mod.ts';
import { type FileTree, type NodeTree, PlannedTree } from '../tree/mod.ts';

/** By the image, whatever is planned in it. */
const meant = new WeakMap<NodeTree, Map<string, string>>();

/** By a rule that has found what these use. */
export function meanStarts(tree: FileTree, starts: readonly Start[], rule: string): void {
  const image = imageOf(tree);
  const known = meant.get(image) ?? new Map<string, string>();
  for (const start of starts) known.set(keyOf(start), rule);
  meant.set(image, known);
}

/** Null: none did. */
export function rulesOfStart(tree: FileTree, start: Start): string | null {
  return meant.get(imageOf(tree))?.get(keyOf(start)) ?? null;
}

function imageOf({ nodes }: FileTree): NodeTree {
  return nodes instanceof PlannedTree ? nodes.base : nodes;
}

function keyOf({ way, name, file, line }: Start): string {
  return JSON.stringify([way, name, file, line]);
}
