// Addresses and routes in the variables of Red Hat's and SUSE's scripts: /usr/share/doc/initscripts/sysconfig.txt, ifcfg(5), routes(5).
import { type Address, formatAddress, netmaskOf, parseAddress, parseMac, prefixOf } from '../address.ts';
import type { InterfaceIdentity } from '../contract.ts';
import type { Correspondence, InterfacePair } from '../correspondence.ts';
import { nameOf, readText } from '../tree/mod.ts';
import { filesAt } from './glob.ts';
import { addressOutcome, extraGateway, gatewayInPlaceOf, type NetworkFacts, type Rewritten } from './network-file.ts';
import type { NetworkFormat } from './network-rule.ts';

const PLACES = [
  '/etc/sysconfig/network-scripts/ifcfg-*',
  '/etc/sysconfig/network/{ifcfg,ifroute}-*',
  '/etc/sysconfig/network/routes',
  '/etc/sysconfig/network',
];
const ADDRESS_KEY = /^(IPADDR|IPV6ADDR|LLADDR)(?!_SECONDARIES)(_?\w+)?$/;
const GATEWAY_KEY = /^(GATEWAY\d*|IPV6_DEFAULTGW)$/;
const MAC_KEY = /^(HWADDR|MACADDR|LLADDR)$/;
const DYNAMIC = ['dhcp', 'bootp', 'dhcp4', 'dhcp6', 'auto6'];

export const ifcfg: NetworkFormat = {
  name: 'ifcfg',
  async files(tree) {
    const { files } = await filesAt(tree, PLACES);
    const texts = await Promise.all(files.map(({ path }) => readText(tree, path)));
    return texts.map((file) => ({
      file,
      match: `${nameIn(file.path ?? '')}\n${file.status === 'text' ? file.text : ''}`,
    }));
  },
  facts,
  rewrite,
};

/** "eth0" of "ifcfg-eth0"; '' for files that are for all. */
function nameIn(path: string): string {
  return /^if(?:cfg|route)-(.+)$/.exec(nameOf(path))?.[1] ?? '';
}

interface Line {
  readonly text: string;
  /** '' for what sets no variable. */
  readonly key: string;
  /** Without quotes. */
  readonly value: string;
}

function linesOf(text: string): Line[] {
  return text.split('\n').map((line) => {
    const match = /^\s*(?:export\s+)?([A-Za-z_]\w*)=(["']?)([^"'#]*?)\2\s*(?:#.*)?$/.exec(line);
    return { text: line, key: match?.[1] ?? '', value: match?.[3] ?? '' };
  });
}

/** `device` is '' for files that are for all. */
function ownerOf(match: string): { readonly device: string; readonly mac: string | null } {
  const [name = '', ...rest] = match.split('\n');
  const lines = linesOf(rest.join('\n'));
  const device = (lines.find(({ key }) => key === 'DEVICE')?.value ?? name).replace(/:.*/, '');
  return { device, mac: parseMac(lines.find(({ key }) => key === 'HWADDR')?.value ?? '') };
}

function matchesInterface(match: string, one: InterfaceIdentity): boolean {
  const { device, mac } = ownerOf(match);
  if (mac !== null) return mac === one.mac.toLowerCase();
  return device === '' || device === one.name;
}

function facts(text: string, match: string): NetworkFacts {
  const lines = linesOf(text);
  const matches = (one: InterfaceIdentity): boolean => matchesInterface(match, one);
  const addresses = lines
    .filter(({ key }) => ADDRESS_KEY.test(key))
    .map((line) => addressOf(line, lines))
    .filter((address) => address !== null);
  const { device, mac } = ownerOf(match);
  const isDynamic = (key: string, value: string): boolean =>
    (key === 'BOOTPROTO' && DYNAMIC.includes(value.toLowerCase())) ||
    (/^(DHCPV6C|IPV6_AUTOCONF)$/.test(key) && value === 'yes');
  const dynamic = lines
    .filter(({ key, value }) => isDynamic(key, value))
    .flatMap(({ key, value }) => {
      const families = key !== 'BOOTPROTO' || /6$/.test(value) ? ([6] as const) : ([4] as const);
      return families.map((family) => ({ family, matches }));
    });
  return { interfaces: addresses.length === 0 ? [] : [{ name: device || null, mac, addresses }], dynamic };
}

/** With the prefix of the variable that belongs to it: IPADDR1 and PREFIX1 or NETMASK1. */
function addressOf({ key, value }: Line, lines: readonly Line[]): Address | null {
  const address = parseAddress(value.trim());
  if (address === null || address.prefix !== null) return address;
  const number = /\d*$/.exec(key)?.[0] ?? '';
  const of = (names: readonly string[]): string | undefined =>
    lines.find((line) => names.some((name) => line.key === name + number))?.value;
  const prefix = prefixOf(of(['PREFIX', 'PREFIXLEN', 'NETMASK']) ?? '');
  return { ...address, prefix };
}

function rewrite(text: string, match: string, pairs: Correspondence): Rewritten {
  const lines = linesOf(text);
  const strange: string[] = [];
  const pair =
    pairs.pairs.find(({ lead }) => matchesInterface(match, lead)) ??
    pairs.pairs.find(({ understudy }) => understudy !== null && matchesInterface(match, understudy)) ??
    null;
  const gone = new Set<string>();
  const written = lines.map((line) => {
    const route = /^(\s*default\s+)(\S+)(.*)$/.exec(line.text);
    if (route !== null && pair !== null) {
      const gateway = gatewayInPlaceOf(route[2] ?? '', pair);
      return gateway === null ? null : `${route[1]}${gateway}${route[3]}`;
    }
    const next = rewriteLine(line, lines, pair, pairs, strange, gone);
    if (next === line.value) return line.text;
    return next === null
      ? null
      : line.text.replace(/(=["']?)[^"'#]*?(["']?\s*(?:#.*)?)$/, (_, a: string, b: string) => a + next + b);
  });
  const at = lines.findIndex(({ key, value }) => /^IPADDR\d*$/.test(key) && parseAddress(value) !== null);
  const hasGateway = lines.some(({ key, text: line }) => GATEWAY_KEY.test(key) || /^\s*default\s/.test(line));
  const extra = at < 0 || pair === null || hasGateway ? null : extraGateway(pair, 4);
  // SUSE has routes in other files, and knows interfaces by the name of the file.
  const isSuse = at >= 0 && lines[at]?.value.includes('/') === true;
  if (extra !== null && isSuse) strange.push(`no default route here, and the understudy has one by ${extra}`);
  else if (extra !== null && written[at] != null) written[at] = `${written[at]}\nGATEWAY=${extra}`;
  const isNamed =
    pair?.understudy != null && pair.understudy.name !== pair.lead.name && match.startsWith(`${pair.lead.name}\n`);
  if (isNamed && !lines.some(({ key }) => key === 'DEVICE' || key === 'HWADDR'))
    strange.push(`a file named for ${pair.lead.name}`);
  return { text: written.filter((line) => line !== null).join('\n'), strange };
}

/** Null: the line goes. Lines of routes have no variables: "default 10.0.0.1 - -". */
function rewriteLine(
  line: Line,
  lines: readonly Line[],
  pair: InterfacePair | null,
  pairs: Correspondence,
  strange: string[],
  gone: Set<string>,
): string | null {
  const { key, value } = line;
  if (MAC_KEY.test(key) && parseMac(value) !== null) {
    const target = pairs.macFor(parseMac(value) ?? '');
    return target === undefined || target === value.toLowerCase() ? value : (target?.toUpperCase() ?? null);
  }
  if (key === 'DEVICE' && pair?.understudy != null) return value === pair.lead.name ? pair.understudy.name : value;
  if (GATEWAY_KEY.test(key) && pair !== null) return gatewayInPlaceOf(value, pair);
  if (ADDRESS_KEY.test(key)) {
    const address = addressOf(line, lines);
    if (address === null) return value;
    const outcome = addressOutcome(address, pairs);
    if (outcome === 'strange') strange.push(formatAddress(address));
    if (outcome === 'gone') gone.add(/\d*$/.exec(key)?.[0] ?? '');
    if (typeof outcome === 'string') return outcome === 'gone' ? null : value;
    return value.includes('/') ? formatAddress(outcome) : formatAddress({ ...outcome, prefix: null });
  }
  const number = /^(?:PREFIX|NETMASK)(\d*)$/.exec(key)?.[1];
  if (number === undefined)
    return /^(BROADCAST|NETWORK)\d*$/.test(key) && parseAddress(value) !== null && pair !== null ? null : value;
  return prefixInPlaceOf(line, `IPADDR${number}`, lines, pairs, gone.has(number));
}

function prefixInPlaceOf(
  line: Line,
  of: string,
  lines: readonly Line[],
  pairs: Correspondence,
  isGone: boolean,
): string | null {
  if (isGone) return null;
  const own = lines.find(({ key }) => key === of);
  const address = own === undefined ? null : parseAddress(own.value.trim());
  const outcome = address === null ? 'kept' : addressOutcome({ ...address, prefix: 32 }, pairs);
  if (typeof outcome === 'string' || outcome.prefix === null) return outcome === 'gone' ? null : line.value;
  return line.key.startsWith('PREFIX') ? String(outcome.prefix) : netmaskOf(outcome.prefix);
}
