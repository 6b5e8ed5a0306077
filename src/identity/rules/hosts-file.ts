// A host's own names and addresses in /etc/hosts, hosts(5). Lines about other computers stay as they are, and so do the
// names that every computer has for itself (RFC 6761, 6.3), whatever the host is called.
import { formatAddress, isShared, parseAddress } from '../address.ts';
import type { Finding, HostIdentity } from '../contract.ts';
import { allAddresses, type Correspondence } from '../correspondence.ts';
import { type FileTree, readText } from '../tree/mod.ts';
import type { Rule } from './contract.ts';
import { finding, unusable } from './finding.ts';
import { hostNameIn } from './host-name.ts';

const RULE = 'hosts-file';
export const HOSTS_PATH = '/etc/hosts';
const WHY = 'A clone that takes its name for the address of the original talks to the original instead of to itself.';
const ALIAS =
  'It is another name of the address of the lead. The image does not say whether programs mean the lead by it, or the ' +
  'host that they run on. Where it is left as it is, it means the lead.';
/** "localhost.localdomain", "localhost4", "localhost6.localdomain6", "ip6-loopback", "ip6-allnodes". */
const EVERYBODYS = /^(?:localhost[46]?(?:\.localdomain[46]?)?|ip6-[a-z]+|.*\.localhost)$/i;

/** A name by which every computer knows itself, and no other. */
export function isEverybodys(name: string): boolean {
  return EVERYBODYS.test(name);
}

export const hostsFileRule: Rule = {
  name: RULE,
  async find(tree, { lead }) {
    const file = await readText(tree, HOSTS_PATH);
    if (file.status === 'absent') return [];
    if (file.status === 'unusable') return [unusable(RULE, file)];
    const host = lead ?? hostCalled((await hostNameIn(tree)) ?? '');
    const own = ownOf(host, file.text);
    const lines = file.text.split('\n');
    const found: Finding[] = [];
    const about = { rule: RULE, path: file.path };
    const changed = lines.filter((line) => isChanged(line, own));
    if (changed.length > 0) found.push(finding({ ...about, value: changed.join(' | '), why: WHY, action: 'rewrite' }));
    const aliases = [...new Set(lines.flatMap((line) => aliasesIn(line, own)))];
    if (aliases.length > 0)
      found.push(finding({ ...about, value: aliases.join(', '), why: ALIAS, action: 'unknown', confidence: 'likely' }));
    return found;
  },
  async change(found, tree, { lead, understudy, correspondence }) {
    const file = await readText(tree, found.path);
    if (file.status !== 'text') return [];
    const text = rewriteAll(file.text, lead, understudy, correspondence);
    return text === file.text ? [] : [{ kind: 'write', path: found.path, text }];
  },
  async verify(tree, { lead, understudy, correspondence }) {
    const file = await readText(tree, HOSTS_PATH);
    if (file.status !== 'text') return [];
    const isDone = rewriteAll(file.text, lead, understudy, correspondence) === file.text;
    return isDone ? [] : [`${HOSTS_PATH} still has names or addresses of the lead`];
  },
};

/** What of a hosts file is the host's own. */
interface Own {
  readonly addresses: ReadonlySet<string>;
  /** In lower case: its name, and its full name if it has one. */
  readonly names: ReadonlySet<string>;
}

function hostCalled(name: string): HostIdentity {
  const [hostName = '', ...domain] = name.split('.');
  return { hostName, interfaces: [], ...(domain.length === 0 ? {} : { domain: domain.join('.') }) };
}

interface HostsLine {
  readonly address: string;
  readonly names: readonly string[];
}

function parse(line: string): HostsLine | null {
  const [address, ...names] = line.replace(/#.*/, '').trim().split(/\s+/);
  return address === undefined || address === '' ? null : { address, names };
}

function ownOf(host: HostIdentity, text: string): Own {
  const addresses = new Set(allAddresses(host).map(({ ip }) => ip));
  const fullName =
    host.domain === undefined ? fullNameIn(text, host.hostName, addresses) : `${host.hostName}.${host.domain}`;
  const names = [host.hostName, fullName ?? ''].map((name) => name.toLowerCase());
  return { addresses, names: new Set(names.filter((name) => name !== '' && !EVERYBODYS.test(name))) };
}

/**
 * As hostname(1) finds it: the first name of the line that has the host's name. Where that is another name
 * ("localhost"), the only name of that line, or of a line with an address of the host, that begins with the host's
 * name. Such names on other lines belong to other computers, or to sites that the host serves.
 */
function fullNameIn(text: string, hostName: string, addresses: ReadonlySet<string>): string | null {
  const own = hostName.toLowerCase();
  const isFull = (name: string): boolean => name.toLowerCase().startsWith(`${own}.`) && !EVERYBODYS.test(name);
  const lines = text.split('\n').flatMap((line) => parse(line) ?? []);
  const named = lines.filter(({ names }) => names.some((name) => name.toLowerCase() === own));
  const canonical = named[0]?.names[0];
  if (canonical !== undefined && isFull(canonical)) return canonical;
  const addressed = lines.filter(({ address }) => addresses.has(parseAddress(address)?.ip ?? ''));
  for (const some of [addressed, named]) {
    const full = new Set(some.flatMap(({ names }) => names.filter(isFull)));
    const [only] = full;
    if (only !== undefined && full.size === 1) return only;
  }
  return null;
}

function isOwnName(name: string, own: Own): boolean {
  return own.names.has(name.toLowerCase());
}

/** An address of the host, unless it has other names only; or its name behind an address that every computer has. */
function isChanged(line: string, own: Own): boolean {
  const parsed = parse(line);
  const address = parsed === null ? null : parseAddress(parsed.address);
  if (parsed === null || address === null) return false;
  const isNamed = parsed.names.some((name) => isOwnName(name, own));
  if (!own.addresses.has(address.ip)) return isNamed && isShared(address);
  return isNamed || aliasesIn(line, own).length === 0;
}

/** Names of an address of the host that are not its own. */
function aliasesIn(line: string, own: Own): readonly string[] {
  const parsed = parse(line);
  const address = parsed === null ? null : parseAddress(parsed.address);
  if (parsed === null || address === null || !own.addresses.has(address.ip)) return [];
  return parsed.names.filter((name) => !isOwnName(name, own) && !EVERYBODYS.test(name));
}

function rewriteAll(text: string, lead: HostIdentity, understudy: HostIdentity, pairs: Correspondence): string {
  const own = ownOf(lead, text);
  return text
    .split('\n')
    .flatMap((line) => (isChanged(line, own) ? rewrite(line, own, { lead, understudy, pairs }) : [line]))
    .join('\n');
}

interface Hosts {
  readonly lead: HostIdentity;
  readonly understudy: HostIdentity;
  readonly pairs: Correspondence;
}

/**
 * The line with the names and the address of the understudy; without it where no address takes the place of this one.
 * Other names of the address keep it, in a line of their own. Blanks and comments stay.
 */
function rewrite(line: string, own: Own, hosts: Hosts): readonly string[] {
  const parsed = parse(line);
  const address = parseAddress(parsed?.address ?? '');
  if (parsed === null || address === null) return [line];
  const target = own.addresses.has(address.ip) ? hosts.pairs.addressFor(address) : undefined;
  const aliases = aliasesIn(line, own);
  const kept = aliases.length === 0 ? [] : [`${parsed.address}\t${aliases.join(' ')}`];
  if (target === null) return kept;
  const comment = /#.*/.exec(line)?.[0] ?? '';
  // Each name with the blanks before it, so that one that goes takes them along.
  const text = line.slice(0, line.length - comment.length);
  const words = text.match(/\s*\S+/g) ?? [];
  const [first = '', ...names] = words;
  const place = target === undefined ? first : first.replace(/\S+/, () => formatAddress({ ...target, prefix: null }));
  const written = names
    .filter((word) => !aliases.includes(word.trim()))
    .map((word) => (isOwnName(word.trim(), own) ? word.replace(/\S+/, (name) => inPlaceOf(name, hosts)) : word));
  const blanks = text.slice(text.trimEnd().length);
  return [place + written.join('') + blanks + comment, ...kept];
}

function inPlaceOf(name: string, { lead, understudy }: Hosts): string {
  const domain = name.slice(lead.hostName.length + 1);
  return domain === '' ? understudy.hostName : `${understudy.hostName}.${understudy.domain ?? domain}`;
}

/** The full name that the file has for a host of this name and these addresses; null when it has none. */
export async function nameOfOwnAddress(
  tree: FileTree,
  hostName: string,
  addresses: ReadonlySet<string>,
): Promise<string | null> {
  const file = await readText(tree, HOSTS_PATH);
  return file.status === 'text' ? fullNameIn(file.text, hostName, addresses) : null;
}
