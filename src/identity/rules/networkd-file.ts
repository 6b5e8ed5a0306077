// The format of systemd.network(5), systemd.link(5) and systemd.netdev(5): sections of keys and values.
import { formatAddress, parseAddress, parseMac } from '../address.ts';
import type { InterfaceIdentity } from '../contract.ts';
import { addressesOf, type Correspondence, type InterfacePair } from '../correspondence.ts';
import type { DeclaredDevice, DeviceKind } from '../network-layout.ts';
import {
  addressOutcome,
  extraGateway,
  gatewayInPlaceOf,
  macsInPlaceOf,
  type NetworkFacts,
  type Rewritten,
  wordsOf,
} from './network-file.ts';
import { matchesShellPattern } from './shell-pattern.ts';

interface Line {
  readonly text: string;
  /** Of the section that it is in, counted from 0; -1 before the first. */
  readonly section: number;
  readonly sectionName: string;
  /** null for section heads, comments and blank lines. */
  readonly key: string | null;
  readonly value: string;
}

/** What lines need to know of the section around them. */
interface SectionFacts {
  /** It has an address of the lead. */
  readonly isOwn: boolean;
  /** A route of it is a default route. */
  readonly isDefault: boolean;
}

const DEFAULT_ROUTES = ['0.0.0.0/0', '::/0', ''];
const MAC_KEYS = ['MACAddress', 'PermanentMACAddress'];
/** Of what is built on the interface, or of which it is a part. */
const REFERENCES = ['VLAN', 'Bond', 'Bridge', 'VRF', 'MACVLAN', 'MACVTAP', 'IPVLAN', 'Tunnel', 'BindCarrier'];
/** Elsewhere they are those of other hosts. */
const MAC_SECTIONS = ['Match', 'Link', 'NetDev'];
/** systemd.netdev(5), Kind=. */
const KINDS: Readonly<Record<string, DeviceKind>> = {
  bond: 'bond',
  bridge: 'bridge',
  vlan: 'vlan',
  wireguard: 'tunnel',
  tun: 'tunnel',
  tap: 'tunnel',
};
const DYNAMIC = ['yes', 'true', '1', 'on', 'ipv4', 'ipv6'];

function linesOf(text: string): Line[] {
  let section = -1;
  let sectionName = '';
  return text.split('\n').map((line) => {
    const plain = line.trim();
    if (plain.startsWith('[') && plain.endsWith(']')) {
      section += 1;
      sectionName = plain.slice(1, -1);
    }
    const equals = plain.indexOf('=');
    const key = plain.slice(0, Math.max(equals, 0)).trim();
    const isPair = /^[A-Za-z0-9]+$/.test(key);
    return {
      text: line,
      section,
      sectionName,
      key: isPair ? key : null,
      value: isPair ? plain.slice(equals + 1).trim() : '',
    };
  });
}

function valuesOf(lines: readonly Line[], sectionName: string, keys: readonly string[]): string[] {
  return lines
    .filter((line) => line.sectionName === sectionName && line.key !== null && keys.includes(line.key))
    .map(({ value }) => value);
}

/** Whether a file is for an interface; one that names none, neither by name nor by hardware address, is for all. */
export function matchesInterface(text: string, one: InterfaceIdentity): boolean {
  const lines = linesOf(text);
  const names = words(valuesOf(lines, 'Match', ['Name']));
  const macs = words(valuesOf(lines, 'Match', MAC_KEYS)).map(parseMac);
  if (names.length > 0 && !matchesName(names, one.name)) return false;
  return macs.length === 0 || macs.includes(one.mac.toLowerCase());
}

function words(values: readonly string[]): string[] {
  return values.flatMap(wordsOf);
}

/** Patterns of a shell; one with "!" before the first word turns the whole list round. */
function matchesName(patterns: readonly string[], name: string): boolean {
  const inverted = patterns[0]?.startsWith('!') === true;
  const matches = patterns.some((pattern) => matchesShellPattern(pattern.replace(/^!/, ''), name));
  return matches !== inverted;
}

/**
 * @param match the text whose [Match] section says which interface it is for: of the file itself, or of the one it adds
 *   to
 */
export function networkdFacts(text: string, match: string): NetworkFacts {
  const lines = linesOf(text);
  const values = [...valuesOf(lines, 'Network', ['Address']), ...valuesOf(lines, 'Address', ['Address'])];
  const matches = (one: InterfaceIdentity): boolean => matchesInterface(match, one);
  const dhcp = valuesOf(lines, 'Network', ['DHCP']).map((value) => value.toLowerCase());
  const dynamic = dhcp
    .filter((value) => DYNAMIC.includes(value))
    .flatMap((value) => {
      const families = value === 'ipv4' ? ([4] as const) : value === 'ipv6' ? ([6] as const) : ([4, 6] as const);
      return families.map((family) => ({ family, matches }));
    });
  const addresses = values.map(parseAddress).filter((address) => address !== null);
  const [name = null] = words(valuesOf(linesOf(match), 'Match', ['Name'])).filter((word) => !/[*?[!]/.test(word));
  const [mac = null] = words(valuesOf(linesOf(match), 'Match', MAC_KEYS)).map(parseMac);
  return {
    interfaces: addresses.length === 0 ? [] : [{ name, mac, addresses }],
    dynamic,
    devices: devicesIn(lines, linesOf(match)),
  };
}

/** @param all the file with what is added to it */
function devicesIn(lines: readonly Line[], all: readonly Line[]): DeclaredDevice[] {
  const macSet = words(['Link', 'NetDev'].flatMap((section) => valuesOf(lines, section, ['MACAddress'])))
    .map(parseMac)
    .find((mac) => mac !== null);
  const [made] = valuesOf(all, 'NetDev', ['Name']);
  const [kind = ''] = valuesOf(all, 'NetDev', ['Kind']);
  const number = Number(valuesOf(all, 'VLAN', ['Id'])[0]);
  if (made !== undefined)
    return [
      {
        name: made,
        mac: null,
        kind: KINDS[kind] ?? 'other',
        macSet: macSet ?? null,
        ...(number > 0 && { vlan: number }),
      },
    ];
  const [renamed] = valuesOf(all, 'Link', ['Name']);
  const names = words(valuesOf(all, 'Match', ['Name'])).filter((word) => !/[*?[!]/.test(word));
  const macs = words(valuesOf(all, 'Match', MAC_KEYS))
    .map(parseMac)
    .filter((mac) => mac !== null);
  const into = words(valuesOf(all, 'Network', ['Bond', 'Bridge']));
  const vlans = words(valuesOf(all, 'Network', ['VLAN']));
  const isLink = renamed !== undefined || !all.some(({ sectionName }) => sectionName === 'Network');
  const common = { kind: 'card', into, macSet: macSet ?? null } as const;
  const cards: DeclaredDevice[] = isLink
    ? macs.map((mac) => ({ ...common, name: macs.length === 1 ? (renamed ?? null) : null, mac, namesOnly: true }))
    : macs.length > 0
      ? macs.map((mac) => ({
          ...common,
          name: names.length === 1 && macs.length === 1 ? (names[0] ?? null) : null,
          mac,
        }))
      : names.map((name) => ({ ...common, name, mac: null }));
  const [first] = names;
  const parts = first === undefined ? macs.slice(0, 1) : [first];
  return [...cards, ...vlans.map((name): DeclaredDevice => ({ name, mac: null, kind: 'vlan', parts }))];
}

export function rewriteNetworkd(text: string, match: string, pairs: Correspondence): Rewritten {
  const lines = linesOf(text);
  const strange: string[] = [];
  const pair = pairs.pairs.find(({ lead }) => matchesInterface(match, lead)) ?? pairOfUnderstudy(match, pairs);
  const sections = sectionsOf(lines, pairs);
  const written = lines.map((line) => rewriteLine(line, pair, pairs, sections, strange));
  const firstAddress = lines.findIndex(({ sectionName, key }) => sectionName === 'Network' && key === 'Address');
  const extra = pair === null || firstAddress < 0 ? null : missingGateway(linesOf(match), pair, pairs);
  if (extra !== null) written[firstAddress] = `${written[firstAddress] ?? ''}\nGateway=${extra}`;
  return { text: written.filter((line) => line !== null).join('\n'), strange };
}

/** A file that has been rewritten is for the understudy's interface, and has to be left as it is. */
function pairOfUnderstudy(match: string, pairs: Correspondence): InterfacePair | null {
  return pairs.pairs.find(({ understudy }) => understudy !== null && matchesInterface(match, understudy)) ?? null;
}

function sectionsOf(lines: readonly Line[], pairs: Correspondence): ReadonlyMap<number, SectionFacts> {
  const sections = new Map<number, SectionFacts>();
  for (const { section, key, value } of lines) {
    const before = sections.get(section) ?? { isOwn: false, isDefault: true };
    const address = key === 'Address' ? parseAddress(value) : null;
    const isOwn = address !== null && typeof addressOutcome(address, pairs) !== 'string';
    const isElsewhere = key === 'Destination' && !DEFAULT_ROUTES.includes(value);
    sections.set(section, { isOwn: before.isOwn || isOwn, isDefault: before.isDefault && !isElsewhere });
  }
  return sections;
}

/** Null: the line goes. */
function rewriteLine(
  line: Line,
  pair: InterfacePair | null,
  pairs: Correspondence,
  sections: ReadonlyMap<number, SectionFacts>,
  strange: string[],
): string | null {
  const { key, value, sectionName } = line;
  const section = sections.get(line.section);
  if (key === null) return line.text;
  const put = (next: string | null): string | null =>
    next === value
      ? line.text
      : next === null
        ? null
        : `${/^\s*[A-Za-z0-9]+\s*=\s*/.exec(line.text)?.[0] ?? `${key}=`}${next}`;
  if (MAC_KEYS.includes(key) && MAC_SECTIONS.includes(sectionName)) return put(macsInPlaceOf(value, pairs));
  if ((sectionName === 'Match' || sectionName === 'Link') && key === 'Name')
    return put(namesInPlaceOf(value, pair, pairs));
  if (sectionName === 'NetDev' && key === 'Name') return put(pairs.nameFor(value));
  if (sectionName === 'Network' && REFERENCES.includes(key)) return put(namesInPlaceOf(value, null, pairs));
  const address = parseAddress(value);
  const isAddress = key === 'Address' && (sectionName === 'Network' || sectionName === 'Address');
  if (address !== null && (isAddress || (sectionName === 'Route' && key === 'PreferredSource'))) {
    const outcome = addressOutcome(address, pairs);
    if (outcome === 'strange') strange.push(value);
    if (outcome === 'gone') return null;
    return put(typeof outcome === 'string' ? value : formatAddress(outcome));
  }
  if (sectionName === 'Address' && key === 'Broadcast' && address !== null && section?.isOwn === true) return null;
  const isDefault = sectionName === 'Network' || (sectionName === 'Route' && section?.isDefault !== false);
  if (key === 'Gateway' && isDefault && pair !== null) return put(gatewayInPlaceOf(value, pair));
  return line.text;
}

/** Words that are patterns stay when they also match the new name. */
function namesInPlaceOf(value: string, pair: InterfacePair | null, pairs: Correspondence): string {
  const names = wordsOf(value);
  const written = names.map((name) => pairs.nameFor(name));
  const isMeant = pair !== null && pair.understudy !== null && matchesName(names, pair.lead.name);
  const added = isMeant && !matchesName(written, pair.understudy?.name ?? '') ? [pair.understudy?.name] : [];
  return written.join(' ') === names.join(' ') && added.length === 0 ? value : [...written, ...added].join(' ');
}

function missingGateway(lines: readonly Line[], pair: InterfacePair, pairs: Correspondence): string | null {
  const sections = sectionsOf(lines, pairs);
  const isDefault = ({ sectionName, section }: Line): boolean =>
    sectionName === 'Network' || (sectionName === 'Route' && sections.get(section)?.isDefault === true);
  if (lines.some((line) => line.key === 'Gateway' && isDefault(line))) return null;
  // A server of DHCP gives the way out with the address.
  const isGiven = valuesOf(lines, 'Network', ['DHCP']).some((value) =>
    ['yes', 'true', '1', 'on', 'ipv4'].includes(value.toLowerCase()),
  );
  const families = ([4, 6] as const).filter(
    (family) => addressesOf(pair.understudy, family).length > 0 && !(isGiven && family === 4),
  );
  return families.map((family) => extraGateway(pair, family)).find((gateway) => gateway !== null) ?? null;
}
