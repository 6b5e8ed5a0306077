// The format of interfaces(5): stanzas that begin with a keyword, "iface" ones with options, which are lines after it.
import { type Address, formatAddress, netmaskOf, parseAddress, parseMac, prefixOf } from '../address.ts';
import type { Correspondence, InterfacePair } from '../correspondence.ts';
import type { DeclaredDevice } from '../network-layout.ts';
import {
  addressOutcome,
  extraGateway,
  gatewayInPlaceOf,
  macsInPlaceOf,
  type NetworkFacts,
  namesInPlaceOf,
  type Rewritten,
  wordsOf,
} from './network-file.ts';

/** What begins a stanza; everything else in an "iface" stanza is one of its options. */
const KEYWORD = /^\s*(iface|mapping|auto|allow-\S+|source|source-directory|template|rename|no-auto-down|no-scripts)\s/;

/** Options whose words are names of interfaces; scripts take "_" for "-". */
const PARTS = ['bond-slaves', 'slaves', 'bridge-ports', 'vlan-raw-device', 'ovs-ports', 'ovs-bonds'];
const REFERENCES = [...PARTS, 'bond-master', 'bond-primary', 'ovs-bridge'];
const NO_PARTS = ['none', 'all', 'regex', 'auto'];
/** A default route that a command makes: "up ip route add default via 10.0.0.1". */
const ROUTE_COMMAND = /\b(default\s+(?:via|gw)\s+)([0-9a-fA-F.:]+)/;
const COMMANDS = ['up', 'post-up', 'pre-up'];

interface Stanza {
  /** Lines as they are, a backslash at a line's end making the next one part of it. */
  readonly lines: readonly string[];
  readonly iface: { readonly name: string; readonly family: 4 | 6; readonly method: string } | null;
}

interface Option {
  readonly key: string;
  readonly value: string;
}

/** Blank lines and comments belong to the stanza before them: options may follow. */
function stanzasOf(text: string): Stanza[] {
  const stanzas: { lines: string[]; iface: Stanza['iface'] }[] = [];
  for (const line of logicalLines(text)) {
    const last = stanzas.at(-1);
    if (last !== undefined && !KEYWORD.test(line)) last.lines.push(line);
    else stanzas.push({ lines: [line], iface: ifaceOf(line) });
  }
  return stanzas;
}

function logicalLines(text: string): string[] {
  const lines: string[][] = [];
  let continues = false;
  for (const line of text.split('\n')) {
    if (continues) lines.at(-1)?.push(line);
    else lines.push([line]);
    continues = line.endsWith('\\');
  }
  return lines.map((parts) => parts.join('\n'));
}

function ifaceOf(line: string): Stanza['iface'] {
  const [keyword, name, family, method] = line.replaceAll('\\\n', ' ').trim().split(/\s+/);
  if (keyword !== 'iface' || name === undefined) return null;
  return { name, family: family === 'inet6' ? 6 : 4, method: method ?? 'static' };
}

function optionOf(line: string): Option | null {
  const plain = line.replaceAll('\\\n', ' ').trim();
  const key = /^[^\s#]\S*/.exec(plain)?.[0];
  const value = key === undefined ? '' : plain.slice(key.length).trim();
  return key === undefined || value === '' ? null : { key, value };
}

function plainKey(key: string): string {
  return key.replaceAll('_', '-');
}

/** The physical interface of "eth0:1" and of "eth0". */
function baseOf(name: string): string {
  return name.replace(/:.*/, '');
}

export function ifupdownFacts(text: string): NetworkFacts {
  const stanzas = stanzasOf(text);
  const interfaces = stanzas.flatMap((stanza) => {
    if (stanza.iface === null) return [];
    const [netmask = ''] = optionsOf(stanza, 'netmask');
    const addresses = optionsOf(stanza, 'address')
      .map(parseAddress)
      .filter((address) => address !== null)
      .map((address) => ({ ...address, prefix: address.prefix ?? prefixOf(netmask) }));
    return addresses.length === 0 ? [] : [{ name: baseOf(stanza.iface.name), mac: null, addresses }];
  });
  const dynamic = stanzas.flatMap(({ iface }) =>
    iface !== null && ['dhcp', 'auto', 'bootp'].includes(iface.method)
      ? [{ family: iface.family, matches: ({ name }: { name: string }) => name === iface.name }]
      : [],
  );
  return { interfaces, dynamic, devices: stanzas.flatMap(deviceOf) };
}

function deviceOf(stanza: Stanza): DeclaredDevice[] {
  if (stanza.iface === null || stanza.iface.name === 'lo') return [];
  const of = (...keys: readonly string[]): string[] =>
    keys.flatMap((key) => optionsOf(stanza, key)).flatMap((value) => wordsOf(value.replace(/\bregex\b.*/, '')));
  const isBond = of('bond-slaves', 'slaves', 'bond-mode').length > 0;
  const isVlan = of('vlan-raw-device', 'vlan-id').length > 0;
  const isBridge = of('bridge-ports', 'ovs-ports').length > 0;
  const number = Number(of('vlan-id')[0]);
  const device: DeclaredDevice = {
    name: baseOf(stanza.iface.name),
    mac: null,
    kind: isBond ? 'bond' : isBridge ? 'bridge' : isVlan ? 'vlan' : 'card',
    parts: of(...PARTS).filter((part) => !NO_PARTS.includes(part)),
    into: of('bond-master', 'ovs-bridge'),
    macSet:
      of('hwaddress')
        .map(parseMac)
        .find((mac) => mac !== null) ?? null,
    ...(Number.isInteger(number) ? { vlan: number } : {}),
  };
  return [device];
}

/** What "source" and "source-directory" name. Those that only a shell can expand are left out. */
export function sourcesIn(text: string): { readonly pattern: string; readonly isFolder: boolean }[] {
  return sourceLines(text).filter(({ pattern }) => !SHELL.test(pattern));
}

/** Of all files together: each makes folders be listed. */
export const SOURCES_MAX = 200;
const SHELL = /[$`~"'(){}]/;

function sourceLines(text: string): { readonly pattern: string; readonly isFolder: boolean }[] {
  return logicalLines(text).flatMap((line) => {
    const [keyword, ...patterns] = wordsOf(line.replaceAll('\\\n', ' '));
    if (keyword !== 'source' && keyword !== 'source-directory') return [];
    return patterns.map((pattern) => ({ pattern, isFolder: keyword === 'source-directory' }));
  });
}

function optionsOf(stanza: Stanza, key: string): string[] {
  const options = stanza.lines.slice(1).map(optionOf);
  return options.flatMap((option) => (option !== null && plainKey(option.key) === key ? [option.value] : []));
}

/** @param match all files that ifup(8) reads, of which this is one; '': it is the only one */
export function rewriteIfupdown(text: string, match: string, pairs: Correspondence): Rewritten {
  const stanzas = stanzasOf(text);
  const sources = sourceLines(text);
  const strange = sources
    .filter(({ pattern }) => SHELL.test(pattern))
    .slice(0, SOURCES_MAX)
    .map(({ pattern }) => `source ${pattern}, which only a shell can expand`);
  if (sources.length > SOURCES_MAX) strange.push(`more than ${SOURCES_MAX} files are included`);
  const routed = new Set(stanzasOf(match === '' ? text : match).flatMap(routedIn));
  const written = stanzas.map((stanza) => rewriteStanza(stanza, pairs, routed, strange));
  const names = (gone: boolean): string[] =>
    stanzas.flatMap(({ iface }, index) => (iface !== null && (written[index] === null) === gone ? [iface.name] : []));
  const kept = new Set(names(false));
  const gone = new Set(names(true).filter((name) => !kept.has(name)));
  const lines = written.flatMap((part, index) => part ?? restOf(stanzas[index]?.lines ?? []));
  return { text: lines.flatMap((line) => rewriteNames(line, pairs, gone) ?? []).join('\n'), strange };
}

/** The interface and family that a stanza makes a default route for: "eth0 4". */
function routedIn(stanza: Stanza): string[] {
  if (stanza.iface === null) return [];
  const commands = COMMANDS.flatMap((key) => optionsOf(stanza, key)).filter((value) => ROUTE_COMMAND.test(value));
  const isRouted = optionsOf(stanza, 'gateway').length > 0 || commands.length > 0;
  return isRouted ? [routeKey(stanza.iface)] : [];
}

function routeKey({ name, family }: { readonly name: string; readonly family: 4 | 6 }): string {
  return `${baseOf(name)} ${family}`;
}

/** What stays of a stanza that goes: the blank lines and comments at its end, which speak of what follows. */
function restOf(lines: readonly string[]): readonly string[] {
  return lines.slice(lastOptionOf(lines));
}

/**
 * Null when all of it goes: its address, or its interface, has nothing in its place.
 * @param routed interfaces and families that have a default route; those that get one are added
 */
function rewriteStanza(
  stanza: Stanza,
  pairs: Correspondence,
  routed: Set<string>,
  strange: string[],
): readonly string[] | null {
  const { iface } = stanza;
  if (iface === null) return stanza.lines;
  const pair = pairs.pairs.find(({ lead }) => lead.name === baseOf(iface.name)) ?? null;
  if (pair !== null && pair.understudy === null) return null;
  const outcomes = optionsOf(stanza, 'address').flatMap((value) => {
    const address = parseAddress(value);
    return address === null ? [] : [{ value, outcome: addressOutcome(address, pairs) }];
  });
  if (outcomes.some(({ outcome }) => outcome === 'gone')) return null;
  strange.push(...outcomes.filter(({ outcome }) => outcome === 'strange').map(({ value }) => value));
  const next = outcomes.map(({ outcome }) => outcome).find((outcome) => typeof outcome !== 'string') ?? null;
  const isOurs = outcomes.length === 0 || outcomes.some(({ outcome }) => outcome !== 'strange');
  const lines = stanza.lines.slice(1).flatMap((line) => rewriteOption(line, next, isOurs ? pair : null, pairs) ?? []);
  const isRouted = [iface.name, pairs.nameFor(iface.name)].some((name) => routed.has(routeKey({ ...iface, name })));
  const extra = isOurs && outcomes.length > 0 && pair !== null && !isRouted ? extraGateway(pair, iface.family) : null;
  if (extra !== null) {
    lines.splice(lastOptionOf(lines), 0, `    gateway ${extra}`);
    routed.add(routeKey(iface));
  }
  return [rewriteHead(stanza.lines[0] ?? '', iface.name, pairs), ...lines];
}

function rewriteHead(line: string, name: string, pairs: Correspondence): string {
  const next = pairs.nameFor(name);
  return next === name ? line : line.replace(/^(\s*iface\s+)(\S+)/, (_, start: string) => `${start}${next}`);
}

/** Behind the last line that is an option: comments below it belong to what follows. */
function lastOptionOf(lines: readonly string[]): number {
  return lines.findLastIndex((line) => optionOf(line) !== null) + 1;
}

/** Null: the line goes. @param next the new address where the stanza gets one; @param pair null: leave routes alone */
function rewriteOption(
  line: string,
  next: Address | null,
  pair: InterfacePair | null,
  pairs: Correspondence,
): string | null {
  const option = optionOf(line);
  if (option === null) return line;
  const { key, value } = option;
  const put = (text: string | null): string | null =>
    text === value ? line : text === null ? null : replaceValue(line, key, text);
  const isLiteral = parseAddress(value) !== null;
  if (key === 'address' && isLiteral && next !== null) return put(formatAddress(next));
  if (key === 'netmask' && next !== null) return put(netmaskFor(value, next, pairs));
  if (key === 'gateway' && pair !== null) return put(gatewayInPlaceOf(value, pair));
  // Both follow from address and netmask, and ifup(8) knows how.
  if ((key === 'broadcast' || key === 'network') && isLiteral && next !== null) return null;
  if (key === 'hwaddress') return put(macsInPlaceOf(value, pairs));
  if (REFERENCES.includes(plainKey(key))) return put(namesInPlaceOf(value, pairs));
  const route = COMMANDS.includes(key) && pair !== null ? ROUTE_COMMAND.exec(value) : null;
  if (route !== null && pair !== null) {
    const gateway = gatewayInPlaceOf(route[2] ?? '', pair);
    return gateway === null ? null : put(value.replace(ROUTE_COMMAND, (_, start: string) => start + gateway));
  }
  return line;
}

function netmaskFor(old: string, next: Address, pairs: Correspondence): string {
  const own = pairs.pairs.flatMap(({ understudy }) => understudy?.addresses ?? []).map(parseAddress);
  const prefix = next.prefix ?? own.find((address) => address?.ip === next.ip)?.prefix ?? null;
  if (prefix === null) return old;
  return /^\d+$/.test(old) || next.family === 6 ? String(prefix) : netmaskOf(prefix);
}

function replaceValue(line: string, key: string, value: string): string {
  const indent = /^\s*/.exec(line)?.[0] ?? '';
  const gap = /^\s*\S+(\s+)/.exec(line)?.[1] ?? ' ';
  return `${indent}${key}${gap.includes('\n') ? ' ' : gap}${value}`;
}

/** Names of interfaces after "auto" and "allow-...". Null: none is left. */
function rewriteNames(line: string, pairs: Correspondence, gone: ReadonlySet<string>): string | null {
  const head = /^\s*(?:auto|allow-\S+)\s+/.exec(line)?.[0];
  if (head === undefined) return line;
  const names = line
    .slice(head.length)
    .split(/\s+/)
    .filter((name) => name !== '' && name !== '\\');
  const written = names.filter((name) => !gone.has(name)).map((name) => pairs.nameFor(name));
  if (written.join(' ') === names.join(' ')) return line;
  return written.length === 0 ? null : `${head}${written.join(' ')}`;
}
