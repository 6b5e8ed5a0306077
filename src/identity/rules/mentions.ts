// Whatever else in an image still speaks of the lead: the net for applications that no rule knows. It looks for the
// lead's addresses, hardware addresses, names, host keys and token in every text of the image.
//
// An address in a configuration means that something listens, connects or announces there, and would do so twice:
// unknown. A name is mostly the name of a site that the clone is to serve as well: keep. See
// docs/decisions/0051-identity-mentions.md and docs/decisions/0090-the-whole-image-is-searched.md.
import type { Finding, HostIdentity, Omission } from '../contract.ts';
import {
  isAsPackaged,
  isHarmless,
  isShared,
  type Mention,
  type Survey,
  surveyBelow,
  surveyOf,
  type Value,
  valuesOf,
} from '../search/mod.ts';
import { type FileTree, PlannedTree } from '../tree/mod.ts';
import type { FindContext, Rule } from './contract.ts';
import { finding, linesText } from './finding.ts';
import { HOSTS_PATH } from './hosts-file.ts';
import { unchanged } from './machine-ids.ts';
import { valuesBefore, valuesIn } from './old-values.ts';

const RULE = 'mentions';
const FINDINGS_MAX = 500;
/** Of places that the search could not get to the end of. */
const CUTS_MAX = 20;
/** More files with the name alone are counted, not listed. */
const NAMES_MAX = 25;
const WHY = {
  address: 'Something uses this address of the lead; on a clone it would be used twice, or not be there.',
  disk: 'It names a disk by its serial number or its place; the clone has another disk.',
  token: 'It holds the token by which the controller knows the lead.',
  greeting: 'It names the lead, where only people read it, or where the name may be that of a site.',
  cut: 'The search for what else names the lead did not get to its end, so it proves nothing.',
};

export const mentionsRule: Rule = {
  name: RULE,
  async find(tree, context) {
    const { lead } = context;
    if (lead === null) return [];
    return findingsOf(tree, await surveyOf(tree.nodes, await valuesIn(tree, lead)), { ...context, lead });
  },
  change: async () => [],
  async verify(tree, { lead, understudy, findings, correspondence }) {
    const own = findings.filter(({ rule }) => rule === RULE);
    const known = new Set(own.map(({ path }) => path));
    const survey = await surveyOf(tree.nodes, valuesBefore(lead, findings, correspondence));
    const found = await findingsOf(tree, survey, { lead, understudy, claimed: new Set() });
    const isCounted = own.some(({ value }) => value.includes(MANY));
    const isKnown = ({ path, action, value }: Finding): boolean =>
      known.has(path) || (isCounted && action === 'keep' && (path === '/' || value.includes(MANY)));
    return found.filter((one) => !isKnown(one)).map(({ path, value }) => `${path} has ${value}`);
  },
};

/** What somebody has chosen to be copied is looked at more closely than what a disk has. */
const PORTION_TEXT_BYTES_MAX = 16 * 1024 * 1024;
const ASKED: readonly Value['kind'][] = ['address', 'token', 'disk'];
/** The rule for file systems judges these. */
const DISK_TABLES = ['/etc/fstab', '/etc/crypttab'];
const MANY = ' more files';

/** The same search below other folders. A file is searched too. */
export async function mentionsBelow(
  tree: FileTree,
  paths: readonly string[],
  hosts: { readonly lead: HostIdentity; readonly understudy: HostIdentity },
): Promise<Finding[]> {
  const roots: string[] = [];
  for (const path of paths) roots.push((await tree.stat(path))?.path ?? path);
  const values = valuesOf(hosts.lead, { machineIds: [], hostKeys: [] });
  const survey = await surveyBelow(tree.nodes, roots, values, PORTION_TEXT_BYTES_MAX);
  return findingsOf(tree, survey, { ...hosts, claimed: new Set() });
}

type Context = Pick<FindContext, 'understudy' | 'claimed'> & { readonly lead: HostIdentity };

async function findingsOf(tree: FileTree, survey: Survey, context: Context): Promise<Finding[]> {
  const found: Finding[] = [];
  const image = unchanged(tree);
  const planned = tree.nodes instanceof PlannedTree ? tree.nodes.states : new Map<string, unknown>();
  for (const [path, all] of survey.hits) {
    const mentions = all.filter(({ value }) => isOldHere(value, path, context));
    // A public key goes with the private one that a rule has found.
    const isClaimed = context.claimed.has(path) || context.claimed.has(path.replace(/\.pub$/, ''));
    if (mentions.length === 0 || isClaimed) continue;
    if (!planned.has(path) && (await isAsPackaged(image.nodes, path))) continue;
    found.push(findingOf(path, mentions));
  }
  found.sort((a, b) => (a.path < b.path ? -1 : a.path > b.path ? 1 : 0));
  return [...bounded(found), ...cuts(survey.omitted)];
}

/**
 * Names and addresses in the hosts file are judged by the rule for it; machine-ids are for others wherever they are.
 */
function isOldHere(value: Value, path: string, { lead, understudy }: Context): boolean {
  if (value.kind === 'machine-id' || isShared(value, lead, understudy)) return false;
  if (value.kind === 'disk' && DISK_TABLES.includes(path)) return false;
  return path !== HOSTS_PATH || (value.kind !== 'name' && value.kind !== 'address');
}

/**
 * At most one finding a file: the worst. Lines are numbered, not shown: there may be a secret beside what was found.
 */
function findingOf(path: string, mentions: readonly Mention[]): Finding {
  const isAsked = ({ value: { kind }, isActive }: Mention): boolean =>
    isActive && ASKED.includes(kind) && !isHarmless(path);
  const active = mentions.find(isAsked);
  const value = mentions.map((one) => `${one.value.shown} in ${linesText(one)}`).join('; ');
  if (active === undefined)
    return finding({ rule: RULE, path, value, why: WHY.greeting, action: 'keep', confidence: 'guess' });
  const { kind } = active.value;
  const why = kind === 'token' ? WHY.token : kind === 'disk' ? WHY.disk : WHY.address;
  return finding({ rule: RULE, path, value, why, action: 'unknown', confidence: 'likely' });
}

/** What is kept is listed as long as people may read the list; what somebody has to decide, as long as it is one. */
function bounded(found: readonly Finding[]): Finding[] {
  const kept = found.filter(({ action }) => action === 'keep');
  const listed = new Set(kept.length > NAMES_MAX ? kept.slice(0, NAMES_MAX - 1) : kept);
  const asked = found.filter(({ action }) => action === 'unknown');
  const shown = new Set(asked.slice(0, FINDINGS_MAX));
  const list = found.filter((one) => listed.has(one) || shown.has(one));
  const [first] = kept.slice(listed.size);
  const about = { rule: RULE, confidence: 'guess' } as const;
  if (first !== undefined) {
    const value = `the lead is named in ${kept.length - listed.size}${MANY}`;
    list.push(finding({ ...about, path: first.path, value, why: WHY.greeting, action: 'keep' }));
  }
  const [next] = asked.slice(FINDINGS_MAX);
  if (next !== undefined) {
    const value = `the lead is mentioned in ${asked.length - FINDINGS_MAX}${MANY}`;
    list.push(finding({ ...about, path: next.path, value, why: WHY.cut, action: 'unknown' }));
  }
  return list;
}

function cuts(omitted: readonly Omission[]): Finding[] {
  return omitted
    .filter(({ isIntended }) => !isIntended)
    .slice(0, CUTS_MAX)
    .map(({ path, why }) =>
      finding({ rule: RULE, path, value: why, why: WHY.cut, action: 'unknown', confidence: 'guess' }),
    );
}
