// The rules of an engine: those that come with the program, and users' own.
import { UnderstudyError } from '../../base/mod.ts';
import { builtinRules } from './builtin.ts';
import type { Rule } from './contract.ts';
import { type OwnRule, ownRules, problemOfRule } from './own-rules.ts';

/**
 * @param file what messages call the list
 * @param only without those that come with the program
 * @throws CONFIG_INVALID for a rule that contradicts itself, or has the name of one that comes with the program
 */
export function ruleSet(file: string, list: readonly OwnRule[], only = false): readonly Rule[] {
  for (const [index, rule] of list.entries()) {
    const isTaken = builtinRules.some(({ name }) => name === rule.name);
    const problem = isTaken ? 'this name belongs to a rule that comes with the program' : problemOfRule(rule);
    if (problem !== null)
      throw new UnderstudyError('CONFIG_INVALID', `${file}: rules[${index}] (${rule.name}): ${problem}`);
  }
  const own = ownRules(list);
  // The search for what is left looks at what all others have made.
  return only ? own : [...builtinRules.slice(0, -1), ...own, ...builtinRules.slice(-1)];
}
