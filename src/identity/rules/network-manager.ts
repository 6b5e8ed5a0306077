// Addresses and routes in NetworkManager's key files: nm-settings-keyfile(5).
import { type Address, formatAddress, parseAddress, parseMac } from '../address.ts';
import type { InterfaceIdentity } from '../contract.ts';
import type { Correspondence, InterfacePair } from '../correspondence.ts';
import type { DeclaredDevice, DeviceKind } from '../network-layout.ts';
import { readText } from '../tree/mod.ts';
import { filesAt } from './glob.ts';
import {
  addressOutcome,
  extraGateway,
  gatewayInPlaceOf,
  macInPlaceOf,
  type NetworkFacts,
  type Rewritten,
} from './network-file.ts';
import type { NetworkFormat } from './network-rule.ts';

const PLACES = [
  '/etc/NetworkManager/system-connections/*',
  '/usr/lib/NetworkManager/system-connections/*.nmconnection',
];
const ADDRESS_KEY = /^address(es)?\d*$/;
const ROUTE_KEY = /^routes?\d+$/;
const MAC_KEYS = ['mac-address', 'cloned-mac-address'];
/** Sections and keys whose value is the name of an interface, or names with ";" between. */
const REFERENCES = [
  'vlan.parent',
  'macvlan.parent',
  'ip-tunnel.parent',
  'connection.master',
  'connection.controller',
  'match.interface-name',
];
const DEFAULT_ROUTE = /^(?:0\.0\.0\.0\/0|::\/0)\s*,\s*([^,\s]+)/;
const KINDS: Readonly<Record<string, DeviceKind>> = {
  bond: 'bond',
  team: 'bond',
  bridge: 'bridge',
  'ovs-bridge': 'bridge',
  vlan: 'vlan',
  wireguard: 'tunnel',
  vpn: 'tunnel',
  tun: 'tunnel',
  dummy: 'other',
  vrf: 'other',
  'ip-tunnel': 'other',
  vxlan: 'other',
  macvlan: 'other',
  loopback: 'other',
};
const FAMILIES: Readonly<Record<string, 4 | 6>> = { ipv4: 4, ipv6: 6 };

export const networkManager: NetworkFormat = {
  name: 'network-manager',
  async files(tree) {
    const { files } = await filesAt(tree, PLACES);
    const texts = await Promise.all(files.map(({ path }) => readText(tree, path)));
    return texts.map((file) => ({ file, match: file.status === 'text' ? file.text : '' }));
  },
  facts,
  rewrite,
};

interface Line {
  readonly text: string;
  readonly section: string;
  /** '' for everything but pairs. */
  readonly key: string;
  readonly value: string;
}

function linesOf(text: string): Line[] {
  let section = '';
  return text.split('\n').map((line) => {
    const plain = line.trim();
    if (/^\[.*\]$/.test(plain)) section = plain.slice(1, -1);
    const match = /^([A-Za-z0-9.-]+)\s*=\s*(.*)$/.exec(plain);
    return { text: line, section, key: match?.[1] ?? '', value: match?.[2] ?? '' };
  });
}

function firstValue(lines: readonly Line[], sections: readonly string[], keys: readonly string[]): string | null {
  return lines.find(({ section, key }) => sections.includes(section) && keys.includes(key))?.value ?? null;
}

const ETHERNET = ['ethernet', '802-3-ethernet', 'wifi', '802-11-wireless', 'infiniband'];

/** One that names none, neither by name nor by hardware address, is for all. */
function matchesInterface(lines: readonly Line[], one: InterfaceIdentity): boolean {
  const name = firstValue(lines, ['connection'], ['interface-name']);
  const mac = parseMac(firstValue(lines, ETHERNET, ['mac-address']) ?? '');
  return (name === null || name === '' || name === one.name) && (mac === null || mac === one.mac.toLowerCase());
}

/** "10.0.0.11/24,10.0.0.1" is an address and a gateway; several stand one after the other, or with ";" between. */
function addressesIn({ section, key, value }: Line): readonly Address[] {
  if (FAMILIES[section] === undefined || !ADDRESS_KEY.test(key)) return [];
  return value
    .split(';')
    .map((part) => parseAddress(part.trim().split(/[,\s]+/)[0] ?? ''))
    .filter((address) => address !== null);
}

function kindOf(lines: readonly Line[]): DeviceKind {
  return KINDS[firstValue(lines, ['connection'], ['type']) ?? ''] ?? 'card';
}

function deviceOf(lines: readonly Line[]): DeclaredDevice {
  const of = (section: string, ...keys: readonly string[]): string => firstValue(lines, [section], keys) ?? '';
  const [name, id, kind] = [of('connection', 'interface-name'), of('connection', 'uuid'), kindOf(lines)];
  const bound = parseMac(firstValue(lines, ETHERNET, ['mac-address']) ?? '');
  const set = parseMac(firstValue(lines, ETHERNET, ['cloned-mac-address']) ?? of('bridge', 'mac-address'));
  const number = Number(of('vlan', 'id'));
  return {
    ...(id === '' ? {} : { id }),
    name: name === '' ? null : name,
    mac: bound,
    kind,
    parts: [of('vlan', 'parent')].filter((part) => part !== ''),
    into: [of('connection', 'master', 'controller')].filter((whole) => whole !== ''),
    macSet: set,
    // A card that nothing starts need not be there.
    namesOnly:
      kind === 'card' && of('connection', 'autoconnect') === 'false' && of('connection', 'master', 'controller') === '',
    ...(number > 0 ? { vlan: number } : {}),
  };
}

function facts(text: string): NetworkFacts {
  const lines = linesOf(text);
  const devices = text.trim() === '' ? [] : [deviceOf(lines)];
  // What a tunnel has is for the other end of it to know, and the tunnel is found as such.
  if (kindOf(lines) === 'tunnel') return { interfaces: [], dynamic: [], devices };
  const matches = (one: InterfaceIdentity): boolean => matchesInterface(lines, one);
  const dynamic = lines.flatMap(({ section, key, value }) => {
    const family = FAMILIES[section];
    const isDynamic = key === 'method' && (value === 'auto' || value === 'dhcp');
    return family === undefined || !isDynamic ? [] : [{ family, matches }];
  });
  const addresses = lines.flatMap(addressesIn);
  const name = firstValue(lines, ['connection'], ['interface-name']) || null;
  const mac = parseMac(firstValue(lines, ETHERNET, ['mac-address']) ?? '');
  return { interfaces: addresses.length === 0 ? [] : [{ name, mac, addresses }], dynamic, devices };
}

function rewrite(text: string, _match: string, pairs: Correspondence): Rewritten {
  const lines = linesOf(text);
  const strange: string[] = [];
  if (kindOf(lines) === 'tunnel') return { text, strange };
  const pair = pairs.pairs.find(({ lead }) => matchesInterface(lines, lead)) ?? pairOfUnderstudy(lines, pairs);
  const written = lines.map((line) => {
    const next = rewriteLine(line, pair, pairs, strange);
    if (next === line.value) return line.text;
    return next === null ? null : line.text.replace(/(=\s*).*$/, (_, equals: string) => equals + next);
  });
  for (const family of [4, 6] as const) {
    const at = lines.findIndex((line) => FAMILIES[line.section] === family && addressesIn(line).length > 0);
    const extra = at < 0 || pair === null || hasGateway(lines, family) ? null : extraGateway(pair, family);
    if (extra !== null) written[at] = `${written[at] ?? ''}\ngateway=${extra}`;
  }
  return { text: written.filter((line) => line !== null).join('\n'), strange };
}

function pairOfUnderstudy(lines: readonly Line[], pairs: Correspondence): InterfacePair | null {
  return pairs.pairs.find(({ understudy }) => understudy !== null && matchesInterface(lines, understudy)) ?? null;
}

function hasGateway(lines: readonly Line[], family: 4 | 6): boolean {
  return lines.some(
    ({ section, key, value }) =>
      FAMILIES[section] === family &&
      (key === 'gateway' ||
        // A server gives the way out with the address.
        (key === 'method' && value === 'auto') ||
        (ADDRESS_KEY.test(key) && /,\s*[0-9a-f]/.test(value)) ||
        (ROUTE_KEY.test(key) && DEFAULT_ROUTE.test(value))),
  );
}

/** Null: the line goes. */
function rewriteLine(line: Line, pair: InterfacePair | null, pairs: Correspondence, strange: string[]): string | null {
  const { section, key, value } = line;
  if (key === 'interface-name' && section === 'connection') return pairs.nameFor(value);
  if (REFERENCES.includes(`${section}.${key}`)) return value.replace(/[^;,\s]+/g, (name) => pairs.nameFor(name));
  if (MAC_KEYS.includes(key) && [...ETHERNET, 'bridge'].includes(section))
    return macInPlaceOf(value, pairs)?.toUpperCase() ?? value;
  const local = section === 'ip-tunnel' && key === 'local' ? parseAddress(value) : null;
  const end = local === null ? 'kept' : addressOutcome(local, pairs);
  if (typeof end !== 'string') return end.ip;
  if (FAMILIES[section] === undefined) return value;
  if (key === 'gateway' && pair !== null) return gatewayInPlaceOf(value, pair);
  const route = ROUTE_KEY.test(key) && pair !== null ? DEFAULT_ROUTE.exec(value) : null;
  if (route !== null && pair !== null) {
    const next = gatewayInPlaceOf(route[1] ?? '', pair);
    return next === null ? null : value.replace(route[1] ?? '', next);
  }
  if (!ADDRESS_KEY.test(key)) return value;
  const parts = value.split(';').map((part) => rewritePart(part, pair, pairs, strange));
  const kept = parts.filter((part) => part !== null);
  return kept.every((part) => part.trim() === '') && kept.length < parts.length ? null : kept.join(';');
}

function rewritePart(
  part: string,
  pair: InterfacePair | null,
  pairs: Correspondence,
  strange: string[],
): string | null {
  const match = /^(\s*)([^,\s]+)(?:(\s*,\s*|\s+)(\S+))?(.*)$/.exec(part);
  const address = parseAddress(match?.[2] ?? '');
  if (match === null || address === null) return part;
  const outcome = addressOutcome(address, pairs);
  if (outcome === 'strange') strange.push(formatAddress(address));
  if (outcome === 'gone') return null;
  const [, before = '', own = '', comma = '', gateway = '', rest = ''] = match;
  const shown = typeof outcome === 'string' ? own : formatAddress(outcome);
  const next = gateway === '' || pair === null ? gateway : gatewayInPlaceOf(gateway, pair);
  return before + shown + (next === null || next === '' ? '' : comma + next) + rest;
}
