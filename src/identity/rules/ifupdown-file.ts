// The format of interfaces(5): stanzas that begin with a keyword, "iface" ones with options, which are lines after it.
import { type Address, formatAddress, netmaskOf, parseAddress, prefixOf } from '../address.ts';
import type { Correspondence, InterfacePair } from '../correspondence.ts';
import {
  addressOutcome,
  extraGateway,
  gatewayInPlaceOf,
  macsInPlaceOf,
  type NetworkFacts,
  type Rewritten,
} from './network-file.ts';

/** What begins a stanza; everything else in an "iface" stanza is one of its options. */
const KEYWORD = /^\s*(iface|mapping|auto|allow-\S+|source|source-directory|template|rename|no-auto-down|no-scripts)\s/;

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
  return { interfaces, dynamic };
}

function optionsOf(stanza: Stanza, key: string): string[] {
  const options = stanza.lines.slice(1).map(optionOf);
  return options.flatMap((option) => (option?.key === key ? [option.value] : []));
}

export function rewriteIfupdown(text: string, pairs: Correspondence): Rewritten {
  const stanzas = stanzasOf(text);
  const strange: string[] = [];
  const routed = new Set(
    stanzas.flatMap((one) =>
      one.iface !== null && optionsOf(one, 'gateway').length > 0 ? [baseOf(one.iface.name)] : [],
    ),
  );
  const written = stanzas.map((stanza) => rewriteStanza(stanza, pairs, routed, strange));
  const names = (gone: boolean): string[] =>
    stanzas.flatMap(({ iface }, index) => (iface !== null && (written[index] === null) === gone ? [iface.name] : []));
  const kept = new Set(names(false));
  const gone = new Set(names(true).filter((name) => !kept.has(name)));
  const lines = written.flatMap((part, index) => part ?? restOf(stanzas[index]?.lines ?? []));
  return { text: lines.flatMap((line) => rewriteNames(line, pairs, gone) ?? []).join('\n'), strange };
}

/** What stays of a stanza that goes: the blank lines and comments at its end, which speak of what follows. */
function restOf(lines: readonly string[]): readonly string[] {
  return lines.slice(lastOptionOf(lines));
}

/**
 * Null when all of it goes: its address, or its interface, has nothing in its place.
 * @param routed interfaces that have a default route in this file
 */
function rewriteStanza(
  stanza: Stanza,
  pairs: Correspondence,
  routed: ReadonlySet<string>,
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
  const isOurs = outcomes.some(({ outcome }) => outcome !== 'strange');
  const lines = stanza.lines.slice(1).flatMap((line) => rewriteOption(line, next, isOurs ? pair : null, pairs) ?? []);
  const extra = isOurs && pair !== null && !routed.has(baseOf(iface.name)) ? extraGateway(pair, iface.family) : null;
  if (extra !== null) lines.splice(lastOptionOf(lines), 0, `    gateway ${extra}`);
  return [rewriteHead(stanza.lines[0] ?? '', pair), ...lines];
}

function rewriteHead(line: string, pair: InterfacePair | null): string {
  const name = pair?.understudy?.name;
  if (pair === null || name === undefined || name === pair.lead.name) return line;
  return line.replace(/^(\s*iface\s+)([^\s:]+)/, (_, start: string) => `${start}${name}`);
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
  const written = names.filter((name) => !gone.has(name)).map((name) => nameInPlaceOf(name, pairs));
  if (written.join(' ') === names.join(' ')) return line;
  return written.length === 0 ? null : `${head}${written.join(' ')}`;
}

function nameInPlaceOf(name: string, pairs: Correspondence): string {
  const pair = pairs.pairs.find(({ lead }) => lead.name === baseOf(name));
  return pair?.understudy === undefined || pair.understudy === null
    ? name
    : name.replace(baseOf(name), pair.understudy.name);
}
