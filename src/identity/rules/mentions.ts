// Whatever else below /etc still speaks of the lead: the net for applications that no rule knows. It looks for the lead's addresses,
// hardware addresses, names and token in every regular file, within bounds.
//
// An address in a configuration means that something listens, connects or announces there, and would do so twice: unknown. A name
// is mostly a greeting, a comment or the name of a site that the clone is to serve as well: keep. See
// docs/decisions/0051-identity-mentions.md.
import { type Address, addressMatcher } from '../address.ts';
import type { Finding, HostIdentity } from '../contract.ts';
import { allAddresses, fullNameOf } from '../correspondence.ts';
import { type FileTree, join, textOf } from '../tree/mod.ts';
import type { FindContext, Rule } from './contract.ts';
import { finding } from './finding.ts';
import { HOSTS_PATH } from './hosts-file.ts';

const RULE = 'mentions';
const ROOT = '/etc';
const FILES_MAX = 20_000;
/** Above the largest files that systems keep there, such as udev's hardware database of 10 MiB. */
const FILE_BYTES_MAX = 16 * 1024 * 1024;
const ALL_BYTES_MAX = 256 * 1024 * 1024;
const DEPTH_MAX = 16;
const FINDINGS_MAX = 500;
const LINES_SHOWN = 5;
const NAME_CHARS_MIN = 2;
const TOKEN_CHARS_MIN = 8;

/** Greetings, and what is shown to people: nothing acts on it. */
const HARMLESS = /^\/etc\/(motd|issue|issue\.net|motd\.d\/.*|issue\.d\/.*|update-motd\.d\/.*)$/;
const COMMENT = /^\s*(#|;|\/\/)/;
const WHY = {
  address: 'Something uses this address of the lead; on a clone it would be used twice, or not be there.',
  token: 'It holds the token by which the controller knows the lead.',
  greeting: 'It names the lead, where only people read it, or where the name may be that of a site.',
  cut: 'The search for what else names the lead did not get to its end, so it proves nothing.',
};

export const mentionsRule: Rule = {
  name: RULE,
  async find(tree, context) {
    if (context.lead === null) return [];
    return search(tree, context.lead, context);
  },
  change: async () => [],
  async verify(tree, { lead, understudy, findings }) {
    const known = new Set(findings.filter(({ rule }) => rule === RULE).map(({ path }) => path));
    const found = await search(tree, lead, { understudy, claimed: new Set() });
    return found.filter(({ path }) => !known.has(path)).map(({ path, value }) => `${path} has ${value}`);
  },
};

/** Something to look for, and how to call it. */
interface Needle {
  readonly kind: 'address' | 'token' | 'name';
  readonly shown: string;
  readonly isIn: (text: string) => boolean;
}

/** What is the understudy's as well is no trace of the lead. */
function needlesOf(lead: HostIdentity, understudy: HostIdentity | null): Needle[] {
  const needles: Needle[] = [];
  const isTheirs = (address: Address): boolean =>
    understudy !== null && allAddresses(understudy).some(({ ip }) => ip === address.ip);
  for (const address of allAddresses(lead)) {
    if (!isTheirs(address)) needles.push({ kind: 'address', shown: address.ip, isIn: addressMatcher(address) });
  }
  for (const { mac } of lead.interfaces.filter(({ mac }) => mac !== '')) {
    const pattern = new RegExp(`(?<![0-9a-f])${mac.toLowerCase().replaceAll(':', '[:.-]')}(?![0-9a-f])`, 'i');
    const isShared = understudy?.interfaces.some((one) => one.mac.toLowerCase() === mac.toLowerCase()) === true;
    if (!isShared) needles.push({ kind: 'address', shown: mac, isIn: (text) => pattern.test(text) });
  }
  const token = lead.agent?.token ?? '';
  if (token.length >= TOKEN_CHARS_MIN && token !== understudy?.agent?.token) {
    needles.push({ kind: 'token', shown: '(secret)', isIn: (text) => text.includes(token) });
  }
  const name = lead.hostName;
  if (
    name.length >= NAME_CHARS_MIN &&
    name !== 'localhost' &&
    fullNameOf(lead) !== (understudy && fullNameOf(understudy))
  ) {
    const word = new RegExp(`(?<![A-Za-z0-9_-])${name.replace(/[^A-Za-z0-9-]/g, '\\$&')}(?![A-Za-z0-9_-])`, 'i');
    needles.push({ kind: 'name', shown: name, isIn: (text) => word.test(text) });
  }
  return needles;
}

/** The same search below other folders. A file is searched too. */
export function mentionsBelow(
  tree: FileTree,
  paths: readonly string[],
  hosts: { readonly lead: HostIdentity; readonly understudy: HostIdentity },
): Promise<Finding[]> {
  return search(tree, hosts.lead, { understudy: hosts.understudy, claimed: new Set() }, paths);
}

async function search(
  tree: FileTree,
  lead: HostIdentity,
  { understudy, claimed }: Pick<FindContext, 'understudy' | 'claimed'>,
  roots: readonly string[] = [ROOT],
): Promise<Finding[]> {
  const needles = needlesOf(lead, understudy);
  const found: Finding[] = [];
  const budget = { files: FILES_MAX, bytes: ALL_BYTES_MAX };
  const cut = (path: string, value: string): void =>
    void found.push(finding({ rule: RULE, path, value, why: WHY.cut, action: 'unknown', confidence: 'guess' }));
  const folders = roots.map((path) => ({ path, depth: 0 }));
  for (const path of roots) found.push(...mentionsIn(path, await tree.read(path, FILE_BYTES_MAX), needles));
  for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
    for (const name of await tree.list(folder.path)) {
      const path = join(folder.path, name);
      if (budget.files <= 0 || budget.bytes <= 0 || found.length >= FINDINGS_MAX) {
        cut(path, 'there is too much to search');
        return found;
      }
      const entry = await tree.lstat(path);
      if (entry?.kind === 'folder') budget.files -= 1;
      if (entry?.kind === 'folder' && folder.depth < DEPTH_MAX) folders.push({ path, depth: folder.depth + 1 });
      else if (entry?.kind === 'folder') cut(path, 'folders are nested too deep');
      // A public key goes with the private one that a rule has found.
      if (entry?.kind !== 'file' || claimed.has(path) || claimed.has(path.replace(/\.pub$/, ''))) continue;
      // All names and addresses in it are judged by the rule for it.
      if (path === HOSTS_PATH) continue;
      budget.files -= 1;
      budget.bytes -= Math.min(entry.sizeBytes, FILE_BYTES_MAX);
      if (entry.sizeBytes > FILE_BYTES_MAX)
        cut(path, `only the first 16 MiB of ${entry.sizeBytes} bytes were searched`);
      found.push(...mentionsIn(path, await tree.read(path, FILE_BYTES_MAX), needles));
    }
  }
  return found.sort((a, b) => (a.path < b.path ? -1 : a.path > b.path ? 1 : 0));
}

/** At most one finding a file: the worst. Lines are numbered, not shown: there may be a secret beside what was found. */
function mentionsIn(path: string, bytes: Buffer | null, needles: readonly Needle[]): Finding[] {
  const text = bytes === null ? '' : (textOf(bytes) ?? bytes.toString('latin1'));
  const present = needles.filter(({ isIn }) => isIn(text));
  if (present.length === 0) return [];
  const lines = text.split('\n');
  const mentions = present.map((needle) => {
    const at = lines.flatMap((line, index) => (needle.isIn(line) ? [index] : []));
    const isActive =
      needle.kind !== 'name' && !HARMLESS.test(path) && at.some((index) => !COMMENT.test(lines[index] ?? ''));
    return { needle, at: at.map((index) => index + 1), isActive };
  });
  const active = mentions.find(({ isActive }) => isActive);
  const value = mentions.map(({ needle, at }) => `${needle.shown} in ${linesText(at)}`).join('; ');
  if (active === undefined)
    return [finding({ rule: RULE, path, value, why: WHY.greeting, action: 'keep', confidence: 'guess' })];
  const why = active.needle.kind === 'token' ? WHY.token : WHY.address;
  return [finding({ rule: RULE, path, value, why, action: 'unknown', confidence: 'likely' })];
}

function linesText(numbers: readonly number[]): string {
  const shown = numbers.slice(0, LINES_SHOWN).join(', ');
  const more = numbers.length > LINES_SHOWN ? ` and ${numbers.length - LINES_SHOWN} more` : '';
  return `${numbers.length === 1 ? 'line' : 'lines'} ${shown}${more}`;
}
