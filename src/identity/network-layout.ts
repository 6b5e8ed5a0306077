// What the network of a system is made of, whatever configures it: cards, and the bonds, bridges and VLANs on them.
// Names and hardware addresses of cards differ from host to host; what is built on them stays what it is.

export type DeviceKind = 'card' | 'bond' | 'bridge' | 'vlan' | 'tunnel' | 'other';

/** One entry of a configuration. Several entries may speak of one device. */
export interface DeclaredDevice {
  /** What other entries call it where that is not its name: netplan's "lan:". */
  readonly id?: string;
  /** null: whichever has the hardware address. */
  readonly name: string | null;
  /** By which it is chosen; null: by its name. */
  readonly mac: string | null;
  readonly kind: DeviceKind;
  /** Names or ids of what it is made of. */
  readonly parts?: readonly string[];
  /** Names or ids of what it is a part of. */
  readonly into?: readonly string[];
  /** Given to it in place of its own. */
  readonly macSet?: string | null;
  readonly vlan?: number;
  /** It gives a card its name, and is there whether the card is used or not. */
  readonly namesOnly?: boolean;
}

export interface PlacedDevice extends DeclaredDevice {
  /** The file that says so. */
  readonly path: string;
}

/** All entries that speak of one device. */
export interface Device {
  readonly names: Set<string>;
  readonly macs: Set<string>;
  kind: DeviceKind;
  readonly parts: Set<string>;
  vlan: number | null;
  /** Nothing but its name is said of it. */
  namesOnly: boolean;
  readonly path: string;
}

export interface Layout {
  /** In the order of the configuration. */
  readonly devices: readonly Device[];
  readonly macsSet: readonly { readonly mac: string; readonly path: string }[];
  /** By name or id. */
  device(name: string): Device | undefined;
  kindOf(name: string): DeviceKind;
}

const PATTERNS: readonly (readonly [DeviceKind, RegExp])[] = [
  ['vlan', /^[^.:]+\.\d{1,4}$|^vlan\d{1,4}$/],
  ['bond', /^(bond|team)\d*$/],
  ['bridge', /^(br|vmbr|virbr|lxdbr|lxcbr|bridge)\d*$|^br-/],
  ['tunnel', /^(wg|tun|tap)\d+$/],
  ['other', /^(lo|dummy\d+)$/],
];

/** What names say by convention: udev(7) and people give cards none of these. */
export function kindByName(name: string): DeviceKind {
  return PATTERNS.find(([, pattern]) => pattern.test(name))?.[0] ?? 'card';
}

/** "eth0" of "eth0.100": interfaces(5) and vconfig(8) know the card of a VLAN by that. Null: it does not say. */
export function cardOfVlanName(name: string): string | null {
  return /^([^.:]+)\.\d{1,4}$/.exec(name)?.[1] ?? null;
}

export function vlanOfName(name: string): number | null {
  const number = /(?:\.|^vlan)(\d{1,4})$/.exec(name)?.[1];
  return number === undefined ? null : Number(number);
}

export function layoutOf(entries: readonly PlacedDevice[]): Layout {
  const folding = new Folding();
  // What only names a card says nothing of whether it is used, and is told apart by what does.
  for (const entry of entries) if (entry.namesOnly !== true) folding.take(entry);
  for (const entry of entries) if (entry.namesOnly === true) folding.take(entry);
  folding.joinParts(entries);
  const device = (name: string): Device | undefined => folding.byName.get(name);
  return {
    devices: folding.devices,
    macsSet: entries.flatMap(({ macSet, path }) => (macSet == null ? [] : [{ mac: macSet, path }])),
    device,
    kindOf: (name) => device(name)?.kind ?? kindByName(name),
  };
}

class Folding {
  readonly devices: Device[] = [];
  readonly byName = new Map<string, Device>();
  /** Cards only: a bond has the address of one of its cards. */
  readonly #byMac = new Map<string, Device>();

  take(entry: PlacedDevice): void {
    const { id, name, mac, path } = entry;
    const kind = entry.kind === 'card' && name !== null ? kindByName(name) : entry.kind;
    const known = this.#known(entry, kind);
    const device = known ?? this.#made(kind, path, entry.namesOnly === true);
    if (device.kind === 'card' && kind !== 'card') device.kind = kind;
    if (name !== null) device.names.add(name);
    for (const called of [name, id, name === null ? mac : null]) if (called != null) this.byName.set(called, device);
    if (mac !== null) device.macs.add(mac);
    if (mac !== null && kind === 'card') this.#byMac.set(mac, device);
    device.vlan ??= entry.vlan ?? (kind === 'vlan' && name !== null ? vlanOfName(name) : null);
    for (const part of entry.parts ?? []) device.parts.add(part);
    const card = kind === 'vlan' && name !== null && device.parts.size === 0 ? cardOfVlanName(name) : null;
    if (card !== null) device.parts.add(card);
  }

  #known({ id, name, mac }: PlacedDevice, kind: DeviceKind): Device | undefined {
    const called = (name === null ? undefined : this.byName.get(name)) ?? (id && this.byName.get(id)) ?? undefined;
    if (called !== undefined && called !== '') return called;
    const bound = mac === null || kind !== 'card' ? undefined : this.#byMac.get(mac);
    return bound !== undefined && (name === null || bound.names.size === 0) ? bound : undefined;
  }

  #made(kind: DeviceKind, path: string, namesOnly: boolean): Device {
    const empty = { names: new Set<string>(), macs: new Set<string>(), parts: new Set<string>() };
    const device: Device = { ...empty, kind, path, namesOnly, vlan: null };
    this.devices.push(device);
    return device;
  }

  /** Parts that say themselves what they are in, and parts that nothing else speaks of. */
  joinParts(entries: readonly PlacedDevice[]): void {
    for (const { name, id, mac, into = [] } of entries) {
      const called = name ?? id ?? mac;
      for (const whole of into) if (called !== null) this.byName.get(whole)?.parts.add(called);
    }
    for (const device of [...this.devices]) {
      for (const part of device.parts)
        if (!this.byName.has(part)) this.take({ name: part, mac: null, kind: 'card', path: device.path });
    }
  }
}
