// cloud-init: what it remembers of the instance that it has set up, and whether it would set up a clone.

import { readText } from '../../tree/mod.ts';
import type { Rule } from '../contract.ts';
import { finding } from '../finding.ts';

const RULE = 'cloud-init';
/** cloud-init's documentation, "How to disable cloud-init". */
const DISABLED = '/etc/cloud/cloud-init.disabled';
const INSTANCE_ID = '/var/lib/cloud/data/instance-id';
const CONFIG = '/etc/cloud/cloud.cfg';
const WHY =
  'On a clone it either goes on as the instance of the lead, or takes it for a new one and gives it a name, keys and addresses by itself.';

export const cloudInitRule: Rule = {
  name: RULE,
  async find(tree) {
    if ((await tree.stat(DISABLED)) !== null) return [];
    for (const path of [INSTANCE_ID, CONFIG]) {
      const file = await readText(tree, path);
      if (file.status === 'absent') continue;
      const value = file.status === 'text' && path === INSTANCE_ID ? file.text : 'set up';
      return [finding({ rule: RULE, path: file.path, value, why: WHY, action: 'disable' })];
    }
    return [];
  },
  change: async () => [{ kind: 'write', path: DISABLED, text: 'Disabled by understudy: this host is a clone.\n' }],
  async verify(tree, { findings }) {
    const isFound = findings.some(({ rule, action }) => rule === RULE && action === 'disable');
    return isFound && (await tree.stat(DISABLED)) === null ? [`${DISABLED} is missing`] : [];
  },
};
