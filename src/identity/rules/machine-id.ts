// machine-id(5), and the copy of it that D-Bus keeps.
import { type FileTree, readText } from '../tree/mod.ts';
import type { Rule } from './contract.ts';
import { finding, unusable } from './finding.ts';
import { DBUS_PATH, MACHINE_ID_PATH, newMachineId } from './machine-ids.ts';

const RULE = 'machine-id';
const WHY = 'DHCP, the journal, D-Bus and many agents take two hosts of one machine-id for the same host.';
const MODE = 0o444;

export const machineIdRule: Rule = {
  name: RULE,
  async find(tree) {
    const found = [];
    for (const path of [MACHINE_ID_PATH, DBUS_PATH]) {
      const file = await readText(tree, path);
      if (file.status === 'unusable') found.push(unusable(RULE, file));
      if (file.status === 'unusable' || file.path === null) continue;
      // D-Bus usually has a link to the other, which then is the same file; without a file of its own it asks for the
      // other.
      if (path === DBUS_PATH && (file.status === 'absent' || file.path === found[0]?.path)) continue;
      const value = file.status === 'text' ? file.text.trim() : '';
      found.push(finding({ rule: RULE, path: file.path, value: value || '(none)', why: WHY, action: 'rewrite' }));
    }
    return found;
  },
  async change(found, tree, { understudy }) {
    const main = await readText(tree, MACHINE_ID_PATH);
    const file = await readText(tree, found.path);
    const isMain = main.path === found.path || main.status !== 'text';
    const id = isMain ? await newMachineId(tree, understudy) : main.text.trim();
    const mode = file.status === 'absent' ? { mode: MODE } : {};
    return [{ kind: 'write', path: found.path, text: `${id}\n`, ...mode }];
  },
  async verify(tree, { proof, findings }) {
    const problems = [];
    for (const path of [MACHINE_ID_PATH, DBUS_PATH]) {
      const file = await readText(tree, path);
      const accepted = findings.some((one) => one.rule === RULE && one.action === 'unknown' && one.path === file.path);
      const isWrong = file.status === 'text' ? file.text.trim() !== proof.machineId : path === MACHINE_ID_PATH;
      if (isWrong && !accepted) problems.push(`${path} has not the new machine-id`);
    }
    return problems;
  },
};

/** The machine-id that an image says it has, or ''. */
export async function machineIdIn(tree: FileTree): Promise<string> {
  const file = await readText(tree, MACHINE_ID_PATH);
  return file.status === 'text' ? file.text.trim() : '';
}
