// A system in which what is changed would not last: nobody is to believe that it was changed.
import { systemKindOf } from '../system-kind.ts';
import type { Rule } from './contract.ts';
import { finding } from './finding.ts';

const RULE = 'system-kind';

export const systemKindRule: Rule = {
  name: RULE,
  async find(tree) {
    const kind = await systemKindOf(tree);
    if (kind === null) return [];
    return [finding({ rule: RULE, path: kind.sign, value: kind.name, why: kind.why, action: 'unknown' })];
  },
  change: async () => [],
  verify: async () => [],
};
