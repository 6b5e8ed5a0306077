// The rules of an engine: those that come with the program, and users' own.
import { UnderstudyError } from '../../base/mod.ts';
import { builtinRules } from './builtin.ts';
import type { Rule } from './contract.ts';
import { type OwnRule, ownRules, problemOfRule } from './own-rules.ts';

const TAKEN = 'this name belongs to a rule that comes with the program';
const NO_MOUNT = 'it runs a program of the image, which takes a kernel mount (--kernel-mount, or identity.kernelMount)';

export interface RuleSet {
  /** All of them, in the order in which they look and change. */
  readonly rules: readonly Rule[];
  /** What they are made from: data, which can be given to another process. */
  readonly given: { readonly list: readonly OwnRule[]; readonly only: boolean };
}

/**
 * @param file what messages call the list
 * @param only without those that come with the program
 * @param canRun images may be mounted, so that programs can be run in them
 * @throws CONFIG_INVALID for a rule that contradicts itself, cannot be carried out, or has the name of one that comes
 *   with the program
 */
export function ruleSet(
  file: string,
  list: readonly OwnRule[],
  { only = false, canRun }: { readonly only?: boolean; readonly canRun: boolean },
): RuleSet {
  for (const [index, rule] of list.entries()) {
    const isTaken = builtinRules.some(({ name }) => name === rule.name);
    const cannot = rule.action === 'run' && !canRun ? NO_MOUNT : null;
    const problem = isTaken ? TAKEN : (problemOfRule(rule) ?? cannot);
    if (problem !== null)
      throw new UnderstudyError('CONFIG_INVALID', `${file}: rules[${index}] (${rule.name}): ${problem}`);
  }
  return { rules: rulesWith(list, only), given: { list, only } };
}

/** The same for a list that has been checked. */
export function rulesWith(list: readonly OwnRule[], only: boolean): readonly Rule[] {
  const own = ownRules(list);
  // What looks like an identity, and the search for what is left, come after what all others have found and made.
  return only ? own : [...builtinRules.slice(0, -2), ...own, ...builtinRules.slice(-2)];
}
