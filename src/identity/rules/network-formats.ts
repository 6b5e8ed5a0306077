// The formats of network configuration that are understood.

import { isShared } from '../address.ts';
import type { HostIdentity } from '../contract.ts';
import { type Correspondence, correspond } from '../correspondence.ts';
import { layoutOf, type PlacedDevice } from '../network-layout.ts';
import type { FileTree } from '../tree/mod.ts';
import { cardsNamedByUdev } from './declared/mod.ts';
import { dhcpcd } from './dhcpcd.ts';
import { ifcfg } from './ifcfg.ts';
import { ifupdown } from './ifupdown.ts';
import { netplan } from './netplan.ts';
import type { DeclaredInterface, NetworkFacts } from './network-file.ts';
import { networkManager } from './network-manager.ts';
import { declaredIn, type NetworkFormat } from './network-rule.ts';
import { networkd } from './networkd.ts';

export const networkFormats: readonly NetworkFormat[] = [ifupdown, networkd, netplan, networkManager, ifcfg, dhcpcd];

/** All that an image declares, in any of them. */
export async function declared(tree: FileTree): Promise<NetworkFacts & { readonly devices: readonly PlacedDevice[] }> {
  const all: Awaited<ReturnType<typeof declared>>[] = [];
  for (const format of networkFormats) all.push(await declaredIn(format, tree));
  return {
    interfaces: all.flatMap(({ interfaces }) => interfaces),
    dynamic: all.flatMap(({ dynamic }) => dynamic),
    devices: all.flatMap(({ devices }) => devices),
  };
}

/**
 * Those that are the host's own, for what a tunnel has is for the other end of it to know. Where none has an address,
 * those to which a server gives theirs.
 */
export async function declaredInterfaces(tree: FileTree): Promise<readonly DeclaredInterface[]> {
  const { interfaces, dynamic, devices } = await declared(tree);
  const layout = layoutOf(devices);
  const fixed = interfaces.filter(({ name }) => name === null || layout.kindOf(name) !== 'tunnel');
  if (fixed.some(({ addresses }) => addresses.some((address) => !isShared(address)))) return fixed;
  return devices.flatMap(({ name, mac }): readonly DeclaredInterface[] => {
    if (name === null || layout.kindOf(name) === 'tunnel') return [];
    const isGiven = dynamic.some(({ matches }) => matches({ name, mac: mac ?? '', addresses: [] }));
    return isGiven ? [{ name, mac, addresses: [] }] : [];
  });
}

/** What takes the place of what on the understudy; without one, the lead is compared with itself. */
export async function correspondIn(
  tree: FileTree,
  lead: HostIdentity,
  understudy: HostIdentity | null,
): Promise<Correspondence> {
  const layout = layoutOf([...(await declared(tree)).devices, ...(await cardsNamedByUdev(tree))]);
  const pairs = correspond(lead, understudy ?? lead, layout);
  return understudy === null ? { ...pairs, macFor: (mac) => mac, misfits: [] } : pairs;
}
