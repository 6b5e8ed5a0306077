// Addresses and routes in netplan's YAML: https://netplan.readthedocs.io/en/stable/netplan-yaml/. Values are replaced
// where they stand, so that comments and layout stay.
import { isMap, isPair, isScalar, isSeq, type Node, type Pair, parseDocument, type Scalar, visit } from 'yaml';
import { type Address, formatAddress, parseAddress, parseMac } from '../address.ts';
import type { InterfaceIdentity } from '../contract.ts';
import type { Correspondence, InterfacePair } from '../correspondence.ts';
import { readText, type TextFile } from '../tree/mod.ts';
import { yamlRefusal } from './bounded-text.ts';
import { filesAt } from './glob.ts';
import { addressOutcome, extraGateway, gatewayInPlaceOf, type NetworkFacts, type Rewritten } from './network-file.ts';
import type { NetworkFormat } from './network-rule.ts';

const PLACES = ['/{etc,usr/lib,lib}/netplan/*.yaml'];
/** Far above what people write; a parser takes long for more. */
const TEXT_CHARS_MAX = 256 * 1024;
const KINDS = ['ethernets', 'wifis', 'modems', 'bonds', 'bridges', 'vlans', 'tunnels', 'vrfs', 'dummy-devices'];
const DEFAULT = ['default', '0.0.0.0/0', '::/0', '0/0'];
const REFERENCES = ['interfaces', 'link', 'primary', 'gratuitous-arp'];

export const netplan: NetworkFormat = {
  name: 'netplan',
  async files(tree) {
    const { files } = await filesAt(tree, PLACES);
    const texts: TextFile[] = [];
    for (const { path } of files) texts.push(await usable(await readText(tree, path)));
    return texts.map((file) => ({ file, match: '' }));
  },
  facts: (text) => factsOf(devicesIn(text) ?? []),
  rewrite: (text, _match, pairs) => rewriteNetplan(text, pairs),
};

async function usable(file: TextFile): Promise<TextFile> {
  if (file.status !== 'text') return file;
  const unlike = devicesIn(file.text) === null ? 'it is not the YAML that it should be' : null;
  const why = yamlRefusal(file.text, TEXT_CHARS_MAX) ?? unlike;
  return why === null ? file : { status: 'unusable', path: file.path, why };
}

/** One "eth0:" of the file. */
interface Device {
  readonly id: Scalar;
  readonly body: Node;
}

/** Null for what cannot be read, or has more than plain values: aliases would let one text stand in several places. */
function devicesIn(text: string): Device[] | null {
  if (yamlRefusal(text, TEXT_CHARS_MAX) !== null) return null;
  try {
    const document = parseDocument(text, { uniqueKeys: false });
    if (document.errors.length > 0) return null;
    let hasAliases = false;
    visit(document, {
      Alias() {
        hasAliases = true;
      },
    });
    if (hasAliases) return null;
    const network = document.get('network', true);
    if (!isMap(network)) return [];
    return KINDS.flatMap((kind) => {
      const devices = network.get(kind, true);
      if (!isMap(devices)) return [];
      return devices.items.flatMap(({ key, value }) =>
        isScalar(key) && isMap(value) && typeof key.value === 'string' ? [{ id: key, body: value }] : [],
      );
    });
  } catch {
    // A text that nests deeper than the parser's stack.
    return null;
  }
}

function scalarAt(body: Node, ...path: readonly string[]): Scalar | null {
  const node = isMap(body) ? body.getIn(path, true) : null;
  return isScalar(node) ? node : null;
}

function macOf({ body }: Device): string | null {
  return parseMac(String(scalarAt(body, 'match', 'macaddress')?.value ?? ''));
}

function nameOf({ id, body }: Device): string {
  return String(scalarAt(body, 'match', 'name')?.value ?? scalarAt(body, 'set-name')?.value ?? id.value);
}

function matchesInterface(device: Device, one: InterfaceIdentity): boolean {
  const mac = macOf(device);
  return mac === null ? nameOf(device) === one.name : mac === one.mac.toLowerCase();
}

/** Items are addresses, or maps from one address to its options. */
function addressesOf(body: Node): { node: Scalar; address: Address }[] {
  const list = isMap(body) ? body.get('addresses', true) : null;
  if (!isSeq(list)) return [];
  return list.items.flatMap((item) => {
    const node = isMap(item) ? item.items[0]?.key : item;
    const address = isScalar(node) ? parseAddress(String(node.value)) : null;
    return isScalar(node) && address !== null ? [{ node, address }] : [];
  });
}

function factsOf(devices: readonly Device[]): NetworkFacts {
  const interfaces = devices.flatMap((device) => {
    const addresses = addressesOf(device.body).map(({ address }) => address);
    return addresses.length === 0 ? [] : [{ name: nameOf(device), mac: macOf(device), addresses }];
  });
  const dynamic = devices.flatMap((device) =>
    ([4, 6] as const).flatMap((family) => {
      const isOn = scalarAt(device.body, `dhcp${family}`)?.value === true;
      return isOn ? [{ family, matches: (one: InterfaceIdentity) => matchesInterface(device, one) }] : [];
    }),
  );
  return { interfaces, dynamic };
}

/** A piece of the text that reads otherwise; null: its line goes, or its place in a list. */
interface Replacement {
  readonly node: Scalar;
  readonly text: string | null;
}

function rewriteNetplan(text: string, pairs: Correspondence): Rewritten {
  const devices = devicesIn(text) ?? [];
  const strange: string[] = [];
  const replacements: Replacement[] = [];
  const renamed = new Map<string, string>();
  for (const device of devices) {
    const pair =
      pairs.pairs.find(({ lead }) => matchesInterface(device, lead)) ??
      pairs.pairs.find(({ understudy }) => understudy !== null && matchesInterface(device, understudy)) ??
      null;
    replacements.push(...addressChanges(device, pairs, strange), ...macChanges(device, pairs));
    if (pair === null) continue;
    replacements.push(...nameChanges(device, pair, renamed), ...gatewayChanges(device, pair, strange));
  }
  for (const { body } of devices) replacements.push(...referenceChanges(body, renamed));
  return { text: applied(text, replacements), strange };
}

function addressChanges({ body }: Device, pairs: Correspondence, strange: string[]): Replacement[] {
  return addressesOf(body).flatMap(({ node, address }) => {
    const outcome = addressOutcome(address, pairs);
    if (outcome === 'strange') strange.push(formatAddress(address));
    if (outcome === 'strange' || outcome === 'kept') return [];
    return [{ node, text: outcome === 'gone' ? null : formatAddress(outcome) }];
  });
}

function macChanges({ body }: Device, pairs: Correspondence): Replacement[] {
  return [scalarAt(body, 'match', 'macaddress'), scalarAt(body, 'macaddress')].flatMap((node) => {
    const mac = parseMac(String(node?.value ?? ''));
    const target = mac === null ? undefined : pairs.macFor(mac);
    return node === null || target === undefined || target === mac ? [] : [{ node, text: target }];
  });
}

function nameChanges(device: Device, { lead, understudy }: InterfacePair, renamed: Map<string, string>): Replacement[] {
  if (understudy === null || understudy.name === lead.name) return [];
  const { id, body } = device;
  const isMatched = isMap(body) && body.has('match');
  if (!isMatched && id.value === lead.name) renamed.set(lead.name, understudy.name);
  const named = [scalarAt(body, 'match', 'name'), scalarAt(body, 'set-name'), isMatched ? null : id];
  return named.flatMap((node) => (node?.value === lead.name ? [{ node, text: understudy.name }] : []));
}

function gatewayChanges({ body }: Device, pair: InterfacePair, strange: string[]): Replacement[] {
  const routes = isMap(body) ? body.get('routes', true) : null;
  const defaults = (isSeq(routes) ? routes.items : []).filter(
    (route) => isMap(route) && DEFAULT.includes(String(scalarAt(route, 'to')?.value)),
  );
  const nodes = [
    scalarAt(body, 'gateway4'),
    scalarAt(body, 'gateway6'),
    ...defaults.map((route) => scalarAt(route as Node, 'via')),
  ].filter((node) => node !== null);
  if (nodes.length === 0 && addressesOf(body).length > 0) {
    // Where a further route would go is for who wrote the file to say.
    for (const family of [4, 6] as const) {
      const extra = extraGateway(pair, family);
      if (extra !== null) strange.push(`no default route, and the understudy has one by ${extra}`);
    }
  }
  return nodes.flatMap((node): Replacement[] => {
    const next = gatewayInPlaceOf(String(node.value), pair);
    if (next !== null) return next === node.value ? [] : [{ node, text: next }];
    if (defaults.some((route) => scalarAt(route as Node, 'via') === node)) {
      strange.push(`a default route by ${String(node.value)}, and the understudy has none`);
      return [];
    }
    return [{ node, text: null }];
  });
}

/** Bridges, bonds and VLANs name what they are made of. */
function referenceChanges(body: Node, renamed: ReadonlyMap<string, string>): Replacement[] {
  if (!isMap(body) || renamed.size === 0) return [];
  return body.items
    .filter((pair: Pair) => isPair(pair) && isScalar(pair.key) && REFERENCES.includes(String(pair.key.value)))
    .flatMap(({ value }) => {
      const nodes = isSeq(value) ? value.items : [value];
      return nodes.flatMap((node) => {
        const next = isScalar(node) ? renamed.get(String(node.value)) : undefined;
        return isScalar(node) && next !== undefined ? [{ node, text: next }] : [];
      });
    });
}

/** From the end, so that places before stay where they are. */
function applied(text: string, replacements: readonly Replacement[]): string {
  let result = text;
  const ordered = [...replacements].sort((a, b) => (b.node.range?.[0] ?? 0) - (a.node.range?.[0] ?? 0));
  for (const { node, text: next } of ordered) {
    const [from = 0, to = 0] = node.range ?? [];
    if (next !== null) {
      const old = result.slice(from, to);
      const quote = /^["']/.exec(old)?.[0] ?? '';
      result = result.slice(0, from) + quote + next + quote + result.slice(to);
    } else {
      result = without(result, from, to);
    }
  }
  return result;
}

/** An item of "[a, b]" goes with its comma; what stands on a line of its own goes with the line. */
function without(text: string, from: number, to: number): string {
  const after = /^\s*,\s*/.exec(text.slice(to));
  if (after !== null) return text.slice(0, from) + text.slice(to + after[0].length);
  const before = /\s*,\s*$/.exec(text.slice(0, from));
  if (before !== null) return text.slice(0, from - before[0].length) + text.slice(to);
  const start = text.lastIndexOf('\n', from) + 1;
  const end = text.indexOf('\n', to);
  const isInList = /\[\s*$/.test(text.slice(start, from));
  if (isInList) return text.slice(0, from) + text.slice(to);
  return text.slice(0, start) + (end < 0 ? '' : text.slice(end + 1));
}
