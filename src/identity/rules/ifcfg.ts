// Addresses and routes in the variables of Red Hat's and SUSE's scripts: /usr/share/doc/initscripts/sysconfig.txt,
// ifcfg(5), routes(5).
import { type Address, formatAddress, netmaskOf, parseAddress, parseMac, prefixOf } from '../address.ts';
import type { InterfaceIdentity } from '../contract.ts';
import type { Correspondence, InterfacePair } from '../correspondence.ts';
import type { DeclaredDevice, DeviceKind } from '../network-layout.ts';
import { nameOf, parentOf, readText, type TextFile } from '../tree/mod.ts';
import { filesAt } from './glob.ts';
import { defaultRouteOf, defaultRoutesIn, pairOfRoute, rewriteRoute } from './ifcfg-routes.ts';
import {
  addressOutcome,
  extraGateway,
  gatewayInPlaceOf,
  macInPlaceOf,
  type NetworkFacts,
  namesInPlaceOf,
  type Rewritten,
  wordsOf,
} from './network-file.ts';
import type { NetworkFormat } from './network-rule.ts';

const PLACES = [
  '/etc/sysconfig/network-scripts/{ifcfg,route,route6}-*',
  '/etc/sysconfig/network/{ifcfg,ifroute}-*',
  '/etc/sysconfig/network/routes',
  '/etc/sysconfig/network',
];
const ADDRESS_KEY = /^(IPADDR|IPV6ADDR|LLADDR)(?!_SECONDARIES)(_?\w+)?$/;
const GATEWAY_KEY = /^(GATEWAY\d*|IPV6_DEFAULTGW)$/;
/** Names of other interfaces. */
const SLAVES = /^(BONDING_SLAVE_?\w*|BRIDGE_PORTS|TEAM_PORT_DEVICE_?\w*)$/;
const REFERENCES =
  /^(BONDING_SLAVE_?\w*|BRIDGE_PORTS|TEAM_PORT_DEVICE_?\w*|PHYSDEV|ETHERDEVICE|MASTER|TEAM_MASTER|BRIDGE|GATEWAYDEV)$/;
const MAC_KEY = /^(HWADDR|MACADDR|LLADDR)$/;
const DYNAMIC = ['dhcp', 'bootp', 'dhcp4', 'dhcp6', 'auto6'];

export const ifcfg: NetworkFormat = {
  name: 'ifcfg',
  async files(tree) {
    const { files } = await filesAt(tree, PLACES);
    const texts = await Promise.all(files.map(({ path }) => readText(tree, path)));
    const routes = texts.flatMap((file) => (file.status === 'text' ? routesOf(file) : []));
    return texts.map((file) => {
      const name = nameIn(file.path ?? '');
      const own = file.status === 'text' ? file.text : '';
      // What other files say of the way out of this interface, or of any.
      const others = routes.filter(({ path, device }) => path !== file.path && ['', name].includes(device));
      const place = others.some(({ path }) => ROUTES_OF_SUSE.test(path)) || isOfSuse(file.path ?? '') ? SUSE : '';
      return { file, match: [name, own, ...others.map(({ line }) => line), place].join('\n') };
    });
  },
  facts,
  rewrite,
};

const ROUTES_OF_SUSE = /^\/etc\/sysconfig\/network\/(routes|ifroute-.+)$/;
const SUSE = '# as SUSE has it';

function isOfSuse(path: string): boolean {
  return parentOf(path) === '/etc/sysconfig/network';
}

function routesOf({ path, text }: TextFile & { readonly status: 'text' }): {
  readonly path: string;
  readonly device: string;
  readonly line: string;
}[] {
  const name = nameIn(path);
  const device = linesOf(text).find(({ key }) => key === 'GATEWAYDEV')?.value ?? '';
  const lines = defaultRoutesIn(text).map((route) => ({ path, device: route.device ?? name, line: route.line }));
  // In the file of an interface it is that one's; in the file for all it is the system's.
  const gateways = linesOf(text).filter((line, _, all) => isGateway(line, all));
  return [...lines, ...gateways.map((line) => ({ path, device: name === '' ? device : name, line: line.text }))];
}

/** In route-eth0, GATEWAY1 is of the network that ADDRESS1 says. */
function isGateway({ key, value }: Line, lines: readonly Line[]): boolean {
  const number = /^GATEWAY(\d+)$/.exec(key)?.[1] ?? '';
  const network = lines.find((line) => line.key === `ADDRESS${number}`)?.value;
  return GATEWAY_KEY.test(key) && value !== '' && (network === undefined || number === '' || network === '0.0.0.0');
}

/** "eth0" of "ifcfg-eth0"; '' for files that are for all. */
function nameIn(path: string): string {
  return /^(?:ifcfg|ifroute|route6?)-(.+)$/.exec(nameOf(path))?.[1] ?? '';
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
  return {
    interfaces: addresses.length === 0 ? [] : [{ name: device || null, mac, addresses }],
    dynamic,
    devices: device === '' || device === 'lo' ? [] : deviceOf(lines, device, mac),
  };
}

function deviceOf(lines: readonly Line[], device: string, mac: string | null): DeclaredDevice[] {
  const of = (pattern: RegExp): string[] =>
    lines.filter(({ key }) => pattern.test(key)).flatMap(({ value }) => wordsOf(value));
  const isAny = (pattern: RegExp, ...values: readonly string[]): boolean =>
    of(pattern).some((value) => values.includes(value.toLowerCase()));
  const isOn = (pattern: RegExp): boolean => isAny(pattern, 'yes');
  const type = (of(/^TYPE$/)[0] ?? '').toLowerCase();
  const [parts, links] = [of(SLAVES), of(/^(PHYSDEV|ETHERDEVICE)$/)];
  const isBond =
    ['bond', 'team'].includes(type) || of(/^BONDING_OPTS$|^TEAM_CONFIG$/).length > 0 || isOn(/^BONDING_MASTER$/);
  const isBridge = type.endsWith('bridge') || isOn(/^BRIDGE$/) || of(/^BRIDGE_PORTS$/).length > 0;
  const kind: DeviceKind = isBond ? 'bond' : isBridge ? 'bridge' : isOn(/^VLAN$/) || links.length > 0 ? 'vlan' : 'card';
  const number = Number(of(/^VLAN_ID$/)[0]);
  const into = of(/^(MASTER|TEAM_MASTER|BRIDGE)$/).filter((name) => !['yes', 'no'].includes(name.toLowerCase()));
  const macSet =
    of(/^(MACADDR|LLADDR)$/)
      .map(parseMac)
      .find((one) => one !== null) ?? null;
  const isOff = isAny(/^ONBOOT$/, 'no') || isAny(/^STARTMODE$/, 'off', 'manual');
  const vlan = number > 0 ? { vlan: number } : {};
  // A card that nothing starts need not be there.
  const namesOnly = isOff && into.length === 0 && kind === 'card';
  return [{ name: device, mac, kind, parts: [...parts, ...links], into, macSet, namesOnly, ...vlan }];
}

/** "1" of IPADDR1 (Red Hat), "_1" of IPADDR_1 (SUSE). */
function suffixOf(key: string): string {
  return key.replace(/^(?:IPADDR|IPV6ADDR|LLADDR)/, '');
}

/** With the prefix of the variable that belongs to it: IPADDR1 and PREFIX1 or NETMASK1, IPADDR_1 and PREFIXLEN_1. */
function addressOf({ key, value }: Line, lines: readonly Line[]): Address | null {
  const address = parseAddress(value.trim());
  if (address === null || address.prefix !== null) return address;
  const number = suffixOf(key);
  const of = (names: readonly string[]): string | undefined =>
    lines.find((line) => names.some((name) => line.key === name + number))?.value;
  const prefix = prefixOf(of(['PREFIX', 'PREFIXLEN', 'NETMASK']) ?? '');
  return { ...address, prefix };
}

/** A file that is for no interface in particular. */
function isForAll(match: string): boolean {
  return ownerOf(match).device === '';
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
    if (defaultRouteOf(line.text) !== null) return rewriteRoute(line.text, pair, isForAll(match), pairs);
    const next = rewriteLine(line, lines, pair, pairs, strange, gone, isForAll(match));
    if (next === line.value) return line.text;
    return next === null
      ? null
      : line.text.replace(/(=["']?)[^"'#]*?(["']?\s*(?:#.*)?)$/, (_, a: string, b: string) => a + next + b);
  });
  const at = lines.findIndex(({ key, value }) => /^IPADDR\d*$/.test(key) && parseAddress(value) !== null);
  const hasGateway = linesOf(match).some((line, _, all) => isGateway(line, all) || defaultRouteOf(line.text) !== null);
  const extra = at < 0 || pair === null || hasGateway ? null : extraGateway(pair, 4);
  // SUSE has routes in other files, and knows interfaces by the name of the file.
  const isSuse = match.endsWith(SUSE) || (at >= 0 && lines[at]?.value.includes('/') === true);
  if (extra !== null && isSuse) strange.push(`no default route here, and the understudy has one by ${extra}`);
  else if (extra !== null && written[at] != null) written[at] = `${written[at]}\nGATEWAY=${extra}`;
  const named = match.split('\n')[0] ?? '';
  const isNamed =
    named !== '' && pairs.nameFor(named) !== named && !lines.some(({ key }) => key === 'DEVICE' || key === 'HWADDR');
  if (isNamed) strange.push(`a file named for ${named}`);
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
  isForAll: boolean,
): string | null {
  const { key, value } = line;
  if (MAC_KEY.test(key)) return macInPlaceOf(value, pairs)?.toUpperCase() ?? value;
  if (key === 'DEVICE') return pairs.nameFor(value);
  if (REFERENCES.test(key)) return namesInPlaceOf(value, pairs);
  if (isGateway(line, lines)) {
    const own = isForAll ? pairOfRoute(value, null, pairs) : pair;
    return own === null ? value : gatewayInPlaceOf(value, own);
  }
  if (ADDRESS_KEY.test(key)) {
    const address = addressOf(line, lines);
    if (address === null) return value;
    const outcome = addressOutcome(address, pairs);
    if (outcome === 'strange') strange.push(formatAddress(address));
    if (outcome === 'gone') gone.add(suffixOf(key));
    if (typeof outcome === 'string') return outcome === 'gone' ? null : value;
    return value.includes('/') ? formatAddress(outcome) : formatAddress({ ...outcome, prefix: null });
  }
  const number = /^(?:PREFIX(?:LEN)?|NETMASK)((?:_?\w+)?)$/.exec(key)?.[1];
  if (number === undefined)
    return /^(BROADCAST|NETWORK)(_?\w+)?$/.test(key) && parseAddress(value) !== null && pair !== null ? null : value;
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
