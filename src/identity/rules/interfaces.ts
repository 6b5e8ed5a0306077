// What of the lead's network has nothing of the understudy's in its place: cards that are missing, hardware addresses
// that nobody can replace, and interfaces of another kind.

import type { Rule } from './contract.ts';
import { finding } from './finding.ts';

const RULE = 'interfaces';

export const interfacesRule: Rule = {
  name: RULE,
  async find(_tree, { lead, understudy, correspondence }) {
    if (lead === null || understudy === null) return [];
    const misfits = correspondence?.misfits ?? [];
    return misfits.map((misfit) => finding({ rule: RULE, ...misfit, action: 'unknown' }));
  },
  change: async () => [],
  async verify(_tree, { correspondence, findings }) {
    const isKnown = (value: string): boolean => findings.some((one) => one.rule === RULE && one.value === value);
    return correspondence.misfits
      .map((misfit) => finding({ rule: RULE, ...misfit, action: 'unknown' }))
      .filter(({ value }) => !isKnown(value))
      .map(({ path, value }) => `${path} has ${value}, which nothing of the understudy's is in the place of`);
  },
};
