// Our own agent on the lead: its settings name the lead and hold, or name the files of, the lead's token, certificate
// and key.
import type { AgentIdentity, HostIdentity } from '../contract.ts';
import { type FileTree, join, parentOf, readText } from '../tree/mod.ts';
import { boundedJson } from './bounded-text.ts';
import type { ChangeContext, Edit, Rule } from './contract.ts';
import { finding, unusable } from './finding.ts';
import { meanStarts } from './meant.ts';
import { disableUnit, unitStarts } from './units.ts';
import { startsFor } from './wanted.ts';

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
      const starts = (await startsFor(tree, { units: [UNIT] })) ?? [];
      meanStarts(
        tree,
        starts.map(({ start }) => start),
        RULE,
      );
      const { host, controller } = settingsIn(file.text);
      const value = `host ${wordOf(host)}, controller ${wordOf(controller)}, token or key (secret)`;
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
    const files = await secretFilesOf(tree, settings);
    const old = files.map((path): Edit => ({ kind: 'remove', path, secret: true }));
    if (found.action === 'disable') {
      const secrets: Edit[] = file.status === 'text' ? [{ kind: 'remove', path: file.path, secret: true }] : [];
      return [...(await disableUnit(tree, UNIT)), ...secrets, ...old];
    }
    if (understudy.agent === undefined || file.status !== 'text') return [];
    const kept = Object.entries(settings).filter(([name]) => !SECRETS.includes(name));
    const text = `${JSON.stringify({ ...Object.fromEntries(kept), ...settingsOf(understudy.agent) }, null, 2)}\n`;
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
  const wanted: Readonly<Record<string, string>> = settingsOf(understudy.agent);
  const isNew = ['host', 'controller', ...SECRETS].every((name) => settings[name] === wanted[name]);
  if (!isNew) problems.push(`${PATH} is not that of ${understudy.agent.host}`);
  const token = lead.agent?.token;
  if (token !== undefined && token !== understudy.agent.token && file.text.includes(token)) {
    problems.push(`${PATH} still has the token of the lead`);
  }
  return problems;
}

/** Settings that say who reports. Whom the agent believes (ca, caFile) holds for the clone as it did for the lead. */
const SECRETS = ['token', 'tokenFile', 'cert', 'certFile', 'key', 'keyFile'];

function settingsOf({ host, controller, token, certificate }: AgentIdentity) {
  return { host, controller, ...(token === undefined ? {} : { token }), ...certificate };
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

/** Files with the lead's token, certificate and key, those that the settings name and that are there. */
async function secretFilesOf(tree: FileTree, settings: Record<string, unknown>): Promise<readonly string[]> {
  const { tokenFile, certFile, keyFile } = settings;
  // As the agent itself finds it (docs/agent.md).
  const beside = typeof certFile === 'string' ? `${certFile.replace(/\.(crt|pem)$/, '')}.key` : undefined;
  const paths: string[] = [];
  for (const name of [tokenFile, certFile, keyFile ?? beside]) {
    if (typeof name !== 'string' || name === '') continue;
    const file = await readText(tree, name.startsWith('/') ? name : join(parentOf(PATH), name));
    if (file.status === 'text') paths.push(file.path);
  }
  return paths;
}
