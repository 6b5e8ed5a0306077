// A rule made of clues that depend on what the tree is.
import type { FileTree } from '../tree/mod.ts';
import { type Clue, clueRule } from './clue.ts';
import type { FindContext, Rule } from './contract.ts';

type Context = Pick<FindContext, 'otherHardware'>;

export function ruleOfTree(
  name: string,
  cluesOf: (tree: FileTree, context: Context) => Promise<readonly Clue[]>,
): Rule & { readonly commands: NonNullable<Rule['commands']> } {
  const ruleFor = async (tree: FileTree, context: Context): Promise<Rule> =>
    clueRule(name, await cluesOf(tree, context));
  return {
    name,
    find: async (tree, context) => (await ruleFor(tree, context)).find(tree, context),
    // What becomes of a finding is known by the clue that found it.
    change: async (found, tree, context) => (await ruleFor(tree, context)).change(found, tree, context),
    commands: async (found, tree, context) =>
      (await (await ruleFor(tree, context)).commands?.(found, tree, context)) ?? [],
    verify: async (tree, context) => (await ruleFor(tree, context)).verify(tree, context),
  };
}
