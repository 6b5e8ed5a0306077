// Our own agent on the lead: its settings name the lead and hold the lead's token.
import type { HostIdentity } from '../contract.ts';
import { type FileTree, join, parentOf, readText } from '../tree/mod.ts';
import { boundedJson } from './bounded-text.ts';
import type { ChangeContext, Edit, Rule } from './contract.ts';
import { finding, unusable } from './finding.ts';
import { disableUnit, unitStarts } from './units.ts';

const RULE = 'agent';
const PATH = '/etc/understudy/agent.json';
const UNIT = 'understudy-agent.service';
const WHY = 'A clone with the agent of the lead reports its own load as that of the lead.';

export const agentRule: Rule = {
  name: RULE,
  async find(tree, { understudy }) {
    const file = await readText(tree, PATH);
    if (file.status === 'unusable') return [unusable(RULE, file)];
    const disable = understudy !== null && understudy.agent === undefined;
    if (file.status === 'text') {
      const { host, controller } = settingsIn(file.text);
      const value = `host ${wordOf(host)}, controller ${wordOf(controller)}, token (secret)`;
      return [finding({ rule: RULE, path: file.path, value, why: WHY, action: disable ? 'disable' : 'rewrite' })];
    }
    const [start] = await unitStarts(tree, UNIT);
    if (start === undefined) return [];
    // It may have its settings on its command line, of which nobody can say what they mean twice.
    const action = disable ? 'disable' : 'unknown';
    return [finding({ rule: RULE, path: start, value: `${UNIT} starts without ${PATH}`, why: WHY, action })];
  },
  async change(found, tree, { understudy }) {
    const file = await readText(tree, PATH);
    const settings = file.status === 'text' ? settingsIn(file.text) : {};
    const tokenFile = await tokenFileOf(tree, settings);
    const old: Edit[] = tokenFile === null ? [] : [{ kind: 'remove', path: tokenFile, secret: true }];
    if (found.action === 'disable') {
      const secrets: Edit[] = file.status === 'text' ? [{ kind: 'remove', path: file.path, secret: true }] : [];
      return [...(await disableUnit(tree, UNIT)), ...secrets, ...old];
    }
    if (understudy.agent === undefined || file.status !== 'text') return [];
    const { tokenFile: _, ...kept } = settings;
    const { host, controller, token } = understudy.agent;
    const text = `${JSON.stringify({ ...kept, host, controller, token }, null, 2)}\n`;
    return text === file.text ? old : [{ kind: 'write', path: file.path, text, secret: true }, ...old];
  },
  verify: async (tree, { lead, understudy }) => problemsOf(tree, lead, understudy),
};

async function problemsOf(
  tree: FileTree,
  lead: HostIdentity,
  understudy: ChangeContext['understudy'],
): Promise<readonly string[]> {
  const file = await readText(tree, PATH);
  const settings = file.status === 'text' ? settingsIn(file.text) : {};
  const problems: string[] = [];
  if (understudy.agent === undefined) {
    if (file.status !== 'absent') problems.push(`${PATH} is still there`);
    for (const path of await unitStarts(tree, UNIT)) problems.push(`${path} still starts the agent`);
    return problems;
  }
  if (file.status !== 'text') return [];
  const { host, controller, token } = understudy.agent;
  const isNew = settings.host === host && settings.controller === controller && settings.token === token;
  if (!isNew) problems.push(`${PATH} is not that of ${host}`);
  if (lead.agent !== undefined && lead.agent.token !== token && file.text.includes(lead.agent.token)) {
    problems.push(`${PATH} still has the token of the lead`);
  }
  return problems;
}

/** What is no JSON object has no settings: it is written anew. */
function settingsIn(text: string): Record<string, unknown> {
  const value = boundedJson(text)?.value;
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {};
}

/** JSON may hold objects with a `toString` of their own: only what is a text already becomes one. */
function wordOf(value: unknown): string {
  if (value === undefined || value === null) return '(none)';
  return typeof value === 'string' ? value : '(not text)';
}

/** The file with the lead's token, when the settings name one that is there. */
async function tokenFileOf(tree: FileTree, settings: Record<string, unknown>): Promise<string | null> {
  const { tokenFile } = settings;
  if (typeof tokenFile !== 'string' || tokenFile === '') return null;
  const file = await readText(tree, tokenFile.startsWith('/') ? tokenFile : join(parentOf(PATH), tokenFile));
  return file.status === 'text' ? file.path : null;
}
