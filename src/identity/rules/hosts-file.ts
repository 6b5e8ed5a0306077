// A host's own names and addresses in /etc/hosts, hosts(5). Lines about other computers stay as they are.
import { formatAddress, isShared, parseAddress } from '../address.ts';
import type { HostIdentity } from '../contract.ts';
import { allAddresses, type Correspondence } from '../correspondence.ts';
import { type FileTree, readText } from '../tree/mod.ts';
import type { Rule } from './contract.ts';
import { finding, unusable } from './finding.ts';
import { hostNameIn } from './host-name.ts';

const RULE = 'hosts-file';
const PATH = '/etc/hosts';
const WHY = 'A clone that takes its name for the address of the original talks to the original instead of to itself.';

export const hostsFileRule: Rule = {
  name: RULE,
  async find(tree, { lead }) {
    const file = await readText(tree, PATH);
    if (file.status === 'absent') return [];
    if (file.status === 'unusable') return [unusable(RULE, file)];
    const host = lead ?? { hostName: (await hostNameIn(tree)) ?? '', interfaces: [] };
    const own = ownAddresses(host);
    const lines = file.text.split('\n').filter((line) => isOwn(line, host, own));
    if (lines.length === 0) return [];
    return [finding({ rule: RULE, path: file.path, value: lines.join(' | '), why: WHY, action: 'rewrite' })];
  },
  async change(found, tree, { lead, understudy, correspondence }) {
    const file = await readText(tree, found.path);
    if (file.status !== 'text') return [];
    const text = rewriteAll(file.text, lead, understudy, correspondence);
    return text === file.text ? [] : [{ kind: 'write', path: found.path, text }];
  },
  async verify(tree, { lead, understudy, correspondence }) {
    const file = await readText(tree, PATH);
    if (file.status !== 'text') return [];
    const isDone = rewriteAll(file.text, lead, understudy, correspondence) === file.text;
    return isDone ? [] : [`${PATH} still has names or addresses of the lead`];
  },
};

interface HostsLine {
  readonly address: string;
  readonly names: readonly string[];
}

function parse(line: string): HostsLine | null {
  const [address, ...names] = line.replace(/#.*/, '').trim().split(/\s+/);
  return address === undefined || address === '' ? null : { address, names };
}

function isNameOf(name: string, host: HostIdentity): boolean {
  const lower = name.toLowerCase();
  const own = host.hostName.toLowerCase();
  return own !== '' && (lower === own || lower.startsWith(`${own}.`));
}

/** An address of the host, or one with its name behind an address that every computer has. */
function isOwn(line: string, host: HostIdentity, own: ReadonlySet<string>): boolean {
  const parsed = parse(line);
  const address = parsed === null ? null : parseAddress(parsed.address);
  if (parsed === null || address === null) return false;
  return own.has(address.ip) || (isShared(address) && parsed.names.some((name) => isNameOf(name, host)));
}

function ownAddresses(host: HostIdentity): ReadonlySet<string> {
  return new Set(allAddresses(host).map(({ ip }) => ip));
}

function rewriteAll(text: string, lead: HostIdentity, understudy: HostIdentity, pairs: Correspondence): string {
  const own = ownAddresses(lead);
  const lines = text
    .split('\n')
    .map((line) => (isOwn(line, lead, own) ? rewrite(line, lead, understudy, pairs) : line));
  return lines.filter((line) => line !== null).join('\n');
}

/** Null: the line goes, because its address goes without another in its place. Blanks and comments stay. */
function rewrite(line: string, lead: HostIdentity, understudy: HostIdentity, pairs: Correspondence): string | null {
  const comment = /#.*/.exec(line)?.[0] ?? '';
  const address = parseAddress(parse(line)?.address ?? '');
  const target = address === null ? undefined : pairs.addressFor(address);
  if (target === null) return null;
  let isFirst = true;
  const tokens = line.slice(0, line.length - comment.length).split(/(\s+)/);
  const written = tokens.map((token) => {
    if (token.trim() === '') return token;
    if (!isFirst) return isNameOf(token, lead) ? nameInPlaceOf(token, lead, understudy) : token;
    isFirst = false;
    return target === undefined ? token : formatAddress({ ...target, prefix: null });
  });
  return written.join('') + comment;
}

function nameInPlaceOf(name: string, lead: HostIdentity, understudy: HostIdentity): string {
  const domain = name.slice(lead.hostName.length + 1);
  if (domain === '') return understudy.hostName;
  const isLeads = lead.domain !== undefined && domain.toLowerCase() === lead.domain.toLowerCase();
  return `${understudy.hostName}.${isLeads ? (understudy.domain ?? domain) : domain}`;
}

/** The full name that the file has for a host name: "web1.example.org"; null when it has none. */
export async function nameOfOwnAddress(tree: FileTree, hostName: string): Promise<string | null> {
  const file = await readText(tree, PATH);
  const lines = file.status === 'text' ? file.text.split('\n') : [];
  const names = lines.flatMap((line) => parse(line)?.names ?? []);
  return names.find((name) => name.toLowerCase().startsWith(`${hostName.toLowerCase()}.`)) ?? null;
}
