// What netplan's files declare, merged as netplan merges them: a file with a later name adds to the same entry, and
// what it says of one thing replaces what was said before.
import { isMap, isScalar, isSeq, type Node, parseDocument, type Scalar, visit } from 'yaml';
import { parseMac } from '../address.ts';
import type { DeclaredDevice, DeviceKind } from '../network-layout.ts';
import { yamlRefusal } from './bounded-text.ts';

/** Far above what people write; a parser takes long for more. */
export const TEXT_CHARS_MAX = 256 * 1024;
export const DEFAULT_ROUTES = ['default', '0.0.0.0/0', '::/0', '0/0'];
const KINDS: Readonly<Record<string, DeviceKind>> = {
  ethernets: 'card',
  wifis: 'card',
  modems: 'card',
  bonds: 'bond',
  bridges: 'bridge',
  vlans: 'vlan',
  tunnels: 'other',
  vrfs: 'other',
  'dummy-devices': 'other',
  'virtual-ethernets': 'other',
  'nm-devices': 'other',
};

/** One "eth0:" of a file. */
export interface Device {
  readonly id: Scalar;
  readonly body: Node;
  readonly kind: DeviceKind;
}

/** What all files together say of an entry. */
export interface Binding {
  readonly kind: DeviceKind;
  /** A pattern of a shell, or the name. */
  readonly name: string;
  readonly mac: string | null;
  /** "match:" says which card it is, in place of what the entry is called. */
  readonly isMatched: boolean;
  /** Families with a default route. */
  readonly routed: readonly number[];
}

export interface Bindings {
  of(device: Device): Binding;
  isMatched(id: string): boolean;
}

/** Null for what cannot be read, or has more than plain values: aliases would let one text stand in several places. */
export function devicesIn(text: string): Device[] | null {
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
    return Object.entries(KINDS).flatMap(([section, kind]) => {
      const devices = network.get(section, true);
      if (!isMap(devices)) return [];
      return devices.items.flatMap(({ key, value }) =>
        isScalar(key) && isMap(value) && typeof key.value === 'string'
          ? [{ id: key, body: value, kind: textAt(scalarAt(value, 'mode')) === 'wireguard' ? 'tunnel' : kind }]
          : [],
      );
    });
  } catch {
    // A text that nests deeper than the parser's stack.
    return null;
  }
}

export function scalarAt(body: Node, ...path: readonly string[]): Scalar | null {
  const node = isMap(body) ? body.getIn(path, true) : null;
  return isScalar(node) ? node : null;
}

export function textAt(node: Scalar | null): string {
  return String(node?.value ?? '');
}

/** By id, of files in the order in which netplan reads them. */
export function bindingsOf(texts: readonly string[]): Readonly<Record<string, Binding>> {
  const merged = new Map<string, Binding>();
  for (const device of texts.flatMap((text) => devicesIn(text) ?? [])) {
    const id = textAt(device.id);
    merged.set(id, added(merged.get(id), device));
  }
  return Object.fromEntries(merged);
}

function added(before: Binding | undefined, { id, body, kind }: Device): Binding {
  const own = textAt(id);
  const mac = parseMac(textAt(scalarAt(body, 'match', 'macaddress'))) ?? before?.mac ?? null;
  const said = scalarAt(body, 'match', 'name') ?? scalarAt(body, 'set-name');
  return {
    kind: before?.kind === 'tunnel' ? before.kind : kind,
    name: said === null ? (before?.name ?? own) : textAt(said),
    mac,
    isMatched: before?.isMatched === true || (isMap(body) && body.has('match')),
    routed: [...new Set([...(before?.routed ?? []), ...routedIn(body)])],
  };
}

function routedIn(body: Node): number[] {
  const routes = isMap(body) ? body.get('routes', true) : null;
  const vias = (isSeq(routes) ? routes.items : [])
    .filter((route) => isMap(route) && DEFAULT_ROUTES.includes(textAt(scalarAt(route, 'to'))))
    .map((route) => scalarAt(route as Node, 'via'));
  const named = [scalarAt(body, 'gateway4'), scalarAt(body, 'gateway6'), ...vias].flatMap((node) =>
    node === null ? [] : [textAt(node).includes(':') ? 6 : 4],
  );
  // A server of DHCP gives the way out with the address.
  return scalarAt(body, 'dhcp4')?.value === true ? [...named, 4] : named;
}

/** @param match `bindingsOf` as JSON; '': the text is the only file */
export function bindingsFrom(match: string, text: string): Bindings {
  const merged = new Map(
    Object.entries(match === '' ? bindingsOf([text]) : (JSON.parse(match) as Record<string, Binding>)),
  );
  return {
    of: (device) => merged.get(textAt(device.id)) ?? added(undefined, device),
    isMatched: (id) => merged.get(id)?.isMatched === true,
  };
}

export function deviceOf({ id, body }: Device, { kind, name, mac, isMatched }: Binding): DeclaredDevice {
  const list = isMap(body) ? body.get('interfaces', true) : null;
  const ports = (isSeq(list) ? list.items : []).flatMap((item) => (isScalar(item) ? [textAt(item)] : []));
  const link = scalarAt(body, 'link');
  const number = scalarAt(body, 'id')?.value;
  const isNameless = isMatched && (name === textAt(id) || /[*?[]/.test(name));
  return {
    id: textAt(id),
    name: isNameless ? null : name,
    mac,
    kind,
    parts: kind === 'vlan' && link !== null ? [textAt(link)] : ports,
    macSet: parseMac(textAt(scalarAt(body, 'macaddress'))),
    ...(typeof number === 'number' ? { vlan: number } : {}),
  };
}
