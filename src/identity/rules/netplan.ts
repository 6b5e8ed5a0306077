// Addresses and routes in netplan's YAML: https://netplan.readthedocs.io/en/stable/netplan-yaml/. Values are replaced
// where they stand, so that comments and layout stay.
import { isMap, isPair, isScalar, isSeq, type Node, type Pair, type Scalar } from 'yaml';
import { type Address, formatAddress, parseAddress } from '../address.ts';
import type { InterfaceIdentity } from '../contract.ts';
import type { Correspondence, InterfacePair } from '../correspondence.ts';
import { nameOf as nameOfPath, readText, type TextFile } from '../tree/mod.ts';
import { yamlRefusal } from './bounded-text.ts';
import { filesAt } from './glob.ts';
import {
  type Binding,
  type Bindings,
  bindingsFrom,
  bindingsOf,
  DEFAULT_ROUTES,
  type Device,
  deviceOf,
  devicesIn,
  scalarAt,
  TEXT_CHARS_MAX,
  textAt,
} from './netplan-devices.ts';
import {
  addressOutcome,
  extraGateway,
  gatewayInPlaceOf,
  macInPlaceOf,
  type NetworkFacts,
  type Rewritten,
} from './network-file.ts';
import type { NetworkFormat } from './network-rule.ts';
import { matchesShellPattern } from './shell-pattern.ts';

const PLACES = ['/{etc,usr/lib,lib}/netplan/*.yaml'];
const REFERENCES = ['interfaces', 'link', 'primary', 'gratuitous-arp'];
/** Of bridges: by the name of a port. */
const BY_PORT = ['path-cost', 'port-priority'];

export const netplan: NetworkFormat = {
  name: 'netplan',
  async files(tree) {
    const { files } = await filesAt(tree, PLACES);
    const texts = new Map<string, TextFile>();
    // One that has the name of one in an earlier place is not read: netplan-generate(8).
    for (const { path } of files)
      if (!texts.has(nameOfPath(path))) texts.set(nameOfPath(path), await usable(await readText(tree, path)));
    const ordered = [...texts.keys()].sort().flatMap((name) => texts.get(name) ?? []);
    const match = JSON.stringify(bindingsOf(ordered.map((file) => (file.status === 'text' ? file.text : ''))));
    return ordered.map((file) => ({ file, match }));
  },
  facts: (text, match) => factsOf(devicesIn(text) ?? [], bindingsFrom(match, text)),
  rewrite: (text, match, pairs) => rewriteNetplan(text, bindingsFrom(match, text), pairs),
};

async function usable(file: TextFile): Promise<TextFile> {
  if (file.status !== 'text') return file;
  const unlike = devicesIn(file.text) === null ? 'it is not the YAML that it should be' : null;
  const why = yamlRefusal(file.text, TEXT_CHARS_MAX) ?? unlike;
  return why === null ? file : { status: 'unusable', path: file.path, why };
}

function matchesInterface({ mac, name }: Binding, one: InterfaceIdentity): boolean {
  return mac === null ? matchesShellPattern(name, one.name) : mac === one.mac.toLowerCase();
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

function factsOf(devices: readonly Device[], bindings: Bindings): NetworkFacts {
  const bound = devices.map((device) => ({ device, binding: bindings.of(device) }));
  // What a tunnel has is for the other end of it to know, and the tunnel is found as such.
  const own = bound.filter(({ binding }) => binding.kind !== 'tunnel');
  const interfaces = own.flatMap(({ device, binding }) => {
    const addresses = addressesOf(device.body).map(({ address }) => address);
    const name = /[*?[]/.test(binding.name) ? null : binding.name;
    return addresses.length === 0 ? [] : [{ name, mac: binding.mac, addresses }];
  });
  const dynamic = own.flatMap(({ device, binding }) =>
    ([4, 6] as const).flatMap((family) => {
      const isOn = scalarAt(device.body, `dhcp${family}`)?.value === true;
      return isOn ? [{ family, matches: (one: InterfaceIdentity) => matchesInterface(binding, one) }] : [];
    }),
  );
  return { interfaces, dynamic, devices: bound.map(({ device, binding }) => deviceOf(device, binding)) };
}

/** A piece of the text that reads otherwise; null: its line goes, or its place in a list. */
interface Replacement {
  readonly node: Scalar;
  readonly text: string | null;
}

function rewriteNetplan(text: string, bindings: Bindings, pairs: Correspondence): Rewritten {
  const devices = devicesIn(text) ?? [];
  const strange: string[] = [];
  const replacements: Replacement[] = [];
  for (const device of devices) {
    const binding = bindings.of(device);
    const pair =
      pairs.pairs.find(({ lead }) => matchesInterface(binding, lead)) ??
      pairs.pairs.find(({ understudy }) => understudy !== null && matchesInterface(binding, understudy)) ??
      null;
    if (binding.kind !== 'tunnel') replacements.push(...addressChanges(device, pairs, strange));
    replacements.push(...ownEnds(device, pairs), ...macChanges(device, pairs));
    replacements.push(...nameChanges(device, binding, pair, pairs), ...referenceChanges(device.body, bindings, pairs));
    if (pair !== null) replacements.push(...gatewayChanges(device, binding, pair, strange));
  }
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

/** The lead's own end of tunnels, routes and policies. */
function ownEnds({ body }: Device, pairs: Correspondence): Replacement[] {
  const lists = ['routes', 'routing-policy'].flatMap((key) => {
    const list = isMap(body) ? body.get(key, true) : null;
    return isSeq(list) ? list.items.map((item) => scalarAt(item as Node, 'from')) : [];
  });
  return [scalarAt(body, 'local'), ...lists].flatMap((node) => {
    const address = node === null ? null : parseAddress(String(node.value));
    const outcome = address === null ? 'kept' : addressOutcome(address, pairs);
    if (node === null || address === null || typeof outcome === 'string') return [];
    return [{ node, text: formatAddress({ ...outcome, prefix: address.prefix }) }];
  });
}

function macChanges({ body }: Device, pairs: Correspondence): Replacement[] {
  return [scalarAt(body, 'match', 'macaddress'), scalarAt(body, 'macaddress')].flatMap((node) => {
    const target = macInPlaceOf(textAt(node), pairs);
    return node === null || target === null ? [] : [{ node, text: target }];
  });
}

/** An entry that says by itself which card it is for may be called anything. */
function nameChanges(
  { id, body }: Device,
  binding: Binding,
  pair: InterfacePair | null,
  pairs: Correspondence,
): Replacement[] {
  const changes: Replacement[] = [];
  for (const node of [scalarAt(body, 'set-name'), binding.isMatched ? null : id]) {
    const next = pairs.nameFor(textAt(node));
    if (node !== null && next !== node.value) changes.push({ node, text: next });
  }
  const matched = scalarAt(body, 'match', 'name');
  if (matched === null) return changes;
  const theirs = pair?.understudy?.name ?? '';
  const isPattern = /[*?[]/.test(textAt(matched));
  const next = !isPattern
    ? pairs.nameFor(textAt(matched))
    : matchesShellPattern(textAt(matched), theirs)
      ? null
      : theirs;
  return next === null || next === '' || next === matched.value ? changes : [...changes, { node: matched, text: next }];
}

function gatewayChanges({ body }: Device, binding: Binding, pair: InterfacePair, strange: string[]): Replacement[] {
  const routes = isMap(body) ? body.get('routes', true) : null;
  const defaults = (isSeq(routes) ? routes.items : []).filter(
    (route) => isMap(route) && DEFAULT_ROUTES.includes(String(scalarAt(route, 'to')?.value)),
  );
  const nodes = [
    scalarAt(body, 'gateway4'),
    scalarAt(body, 'gateway6'),
    ...defaults.map((route) => scalarAt(route as Node, 'via')),
  ].filter((node) => node !== null);
  if (addressesOf(body).length > 0) {
    // Where a further route would go is for who wrote the files to say.
    for (const family of [4, 6] as const) {
      const extra = binding.routed.includes(family) ? null : extraGateway(pair, family);
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
function referenceChanges(body: Node, bindings: Bindings, pairs: Correspondence): Replacement[] {
  if (!isMap(body)) return [];
  const parameters = body.get('parameters', true);
  const items = [...body.items, ...(isMap(parameters) ? parameters.items : [])];
  const keyOf = (pair: Pair): string => (isPair(pair) && isScalar(pair.key) ? String(pair.key.value) : '');
  const nodes = items.flatMap((pair) => {
    const { value } = pair;
    if (BY_PORT.includes(keyOf(pair)) && isMap(value)) return value.items.map(({ key }) => key);
    return REFERENCES.includes(keyOf(pair)) ? (isSeq(value) ? value.items : [value]) : [];
  });
  return nodes.flatMap((node) => {
    const id = isScalar(node) ? String(node.value) : '';
    if (!isScalar(node) || bindings.isMatched(id)) return [];
    const next = pairs.nameFor(id);
    return next === id ? [] : [{ node, text: next }];
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
