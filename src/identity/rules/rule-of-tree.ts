// A rule made of clues that depend on what the tree is.
import type { FileTree } from '../tree/mod.ts';
import { type Clue, clueRule } from './clue.ts';
import type { FindContext } from './contract.ts';

type Context = Pick<FindContext, 'otherHardware'>;

export function ruleOfTree(
  name: string,
  cluesOf: (tree: FileTree, context: Context) => readonly Clue[],
): ReturnType<typeof clueRule> {
  return {
    // What becomes of a finding is known by the clue that found it.
    ...clueRule(name, []),
    find: async (tree, context) => clueRule(name, cluesOf(tree, context)).find(tree, context),
    verify: async (tree, context) => clueRule(name, cluesOf(tree, context)).verify(tree, context),
  };
}
