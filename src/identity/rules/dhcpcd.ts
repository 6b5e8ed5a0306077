// Addresses and routes that dhcpcd sets without a server: dhcpcd.conf(5).
import { formatAddress, parseAddress } from '../address.ts';
import type { InterfaceIdentity } from '../contract.ts';
import type { Correspondence, InterfacePair } from '../correspondence.ts';
import { readText } from '../tree/mod.ts';
import { addressOutcome, extraGateway, gatewayInPlaceOf, type NetworkFacts, type Rewritten } from './network-file.ts';
import type { NetworkFormat } from './network-rule.ts';

const PATH = '/etc/dhcpcd.conf';
/** "static ip_address=10.0.0.11/24", "inform 10.0.0.11/24". */
const ADDRESS =
  /^(\s*(?:static\s+(?:ip_address|ip6_address)\s*=\s*|(?:inform6?|request)\s+))([0-9a-fA-F.:]+(?:\/\d+)?)(.*)$/;
const ROUTERS = /^(\s*static\s+routers\s*=\s*)(\S+)(.*)$/;
/** Follow from the address. */
const DERIVED = /^\s*static\s+(?:subnet_mask|broadcast_address|network_number)\s*=/;
const NAMES = /^(\s*(?:interface|denyinterfaces|allowinterfaces)\s+)(.*)$/;

export const dhcpcd: NetworkFormat = {
  name: 'dhcpcd',
  async files(tree) {
    return [{ file: await readText(tree, PATH), match: '' }];
  },
  facts,
  rewrite: (text, _match, pairs) => rewrite(text, pairs),
};

/** What is between one "interface" and the next; `name` is null before the first, and for profiles. */
interface Block {
  readonly name: string | null;
  readonly lines: readonly string[];
}

function blocksOf(text: string): Block[] {
  const blocks: { name: string | null; lines: string[] }[] = [{ name: null, lines: [] }];
  for (const line of text.split('\n')) {
    const [keyword, name = null] = line.trim().split(/\s+/);
    if (keyword === 'interface') blocks.push({ name, lines: [line] });
    else if (keyword === 'profile' || keyword === 'ssid') blocks.push({ name: null, lines: [line] });
    else blocks.at(-1)?.lines.push(line);
  }
  return blocks;
}

function facts(text: string): NetworkFacts {
  const blocks = blocksOf(text);
  const interfaces = blocks.flatMap(({ name, lines }) => {
    const addresses = lines.map((line) => parseAddress(ADDRESS.exec(line)?.[2] ?? '')).filter((one) => one !== null);
    return addresses.length === 0 ? [] : [{ name, mac: null, addresses }];
  });
  const set = new Set(interfaces.map(({ name }) => name));
  // What it is told nothing of it asks a server about.
  const matches = ({ name }: InterfaceIdentity): boolean => !set.has(name);
  const dynamic = ([4, 6] as const).map((family) => ({ family, matches }));
  const devices = blocks.flatMap(({ name }) => (name === null ? [] : [{ name, mac: null, kind: 'card' as const }]));
  return { interfaces, dynamic, devices };
}

function rewrite(text: string, pairs: Correspondence): Rewritten {
  const strange: string[] = [];
  const blocks = blocksOf(text);
  const lines = blocks.flatMap(({ name, lines }) => {
    const pair =
      pairs.pairs.find(({ lead }) => lead.name === name) ??
      pairs.pairs.find(({ understudy }) => understudy?.name === name) ??
      null;
    return withGateway(
      lines.map((line) => rewriteLine(line, pair, pairs, strange)),
      lines,
      pair,
      pairs,
    );
  });
  return { text: lines.filter((line) => line !== null).join('\n'), strange };
}

/** A route that the understudy has and the lead has not, below the address that it is for. */
function withGateway(
  written: readonly (string | null)[],
  lines: readonly string[],
  pair: InterfacePair | null,
  pairs: Correspondence,
): readonly (string | null)[] {
  const own = lines.findIndex((line) => {
    const address = parseAddress(ADDRESS.exec(line)?.[2] ?? '');
    return address?.family === 4 && /ip_address/.test(line) && addressOutcome(address, pairs) !== 'strange';
  });
  const extra = own < 0 || pair === null || lines.some((line) => ROUTERS.test(line)) ? null : extraGateway(pair, 4);
  if (extra === null) return written;
  return [...written.slice(0, own + 1), `static routers=${extra}`, ...written.slice(own + 1)];
}

/** Null: the line goes. */
function rewriteLine(
  line: string,
  pair: InterfacePair | null,
  pairs: Correspondence,
  strange: string[],
): string | null {
  const [, names = '', listed = ''] = NAMES.exec(line) ?? [];
  if (names !== '') return names + listed.replace(/[^\s,]+/g, (name) => pairs.nameFor(name));
  const [, routers = '', router = '', more = ''] = ROUTERS.exec(line) ?? [];
  if (routers !== '' && pair !== null) {
    const next = gatewayInPlaceOf(router, pair);
    return next === null ? null : routers + next + more;
  }
  if (DERIVED.test(line) && pair !== null) return null;
  const [, start = '', value = '', rest = ''] = ADDRESS.exec(line) ?? [];
  const address = parseAddress(value);
  if (address === null) return line;
  const outcome = addressOutcome(address, pairs);
  if (outcome === 'strange') strange.push(value);
  if (outcome === 'gone') return null;
  return typeof outcome === 'string' ? line : start + formatAddress(outcome) + rest;
}
