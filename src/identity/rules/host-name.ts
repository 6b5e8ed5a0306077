// The name that a host gives itself: /etc/hostname, hostname(5).
import { fullNameOf } from '../correspondence.ts';
import { type FileTree, readText } from '../tree/mod.ts';
import type { Rule } from './contract.ts';
import { finding, unusable } from './finding.ts';

const RULE = 'host-name';
const PATH = '/etc/hostname';
const WHY = 'Two hosts of one name are mistaken for each other in logs, mail, monitoring and clusters.';

export const hostNameRule: Rule = {
  name: RULE,
  async find(tree) {
    const file = await readText(tree, PATH);
    if (file.status === 'unusable') return [unusable(RULE, file)];
    if (file.path === null) return [];
    const value = file.status === 'text' ? nameIn(file.text) : '';
    return [finding({ rule: RULE, path: file.path, value: value || '(none)', why: WHY, action: 'rewrite' })];
  },
  async change(found, tree, { understudy }) {
    const file = await readText(tree, found.path);
    const text = file.status === 'text' ? file.text : '';
    const name = nameIn(text).includes('.') ? fullNameOf(understudy) : understudy.hostName;
    const after = withName(text, name);
    return after === text ? [] : [{ kind: 'write', path: found.path, text: after }];
  },
  async verify(tree, { understudy }) {
    const name = await hostNameIn(tree);
    if (name === null || name === understudy.hostName || name === fullNameOf(understudy)) return [];
    return [`${PATH} says "${name}" and not "${understudy.hostName}"`];
  },
};

/** Null when the image has no such file that can be read. */
export async function hostNameIn(tree: FileTree): Promise<string | null> {
  const file = await readText(tree, PATH);
  return file.status === 'text' ? nameIn(file.text) : null;
}

/** The first line that is neither empty nor a comment. */
function nameIn(text: string): string {
  return lineIn(text)?.trim() ?? '';
}

function lineIn(text: string): string | undefined {
  return text.split('\n').find((line) => line.trim() !== '' && !line.trim().startsWith('#'));
}

function withName(text: string, name: string): string {
  const line = lineIn(text);
  if (line === undefined) return `${text === '' || text.endsWith('\n') ? text : `${text}\n`}${name}\n`;
  if (line.trim() === name) return text;
  return text
    .split('\n')
    .map((one) => (one === line ? name : one))
    .join('\n');
}
