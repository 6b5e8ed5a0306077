// What of the understudy takes the place of what of the lead: interface for interface, address for address, card for
// card.
import { type Address, parseAddress } from './address.ts';
import { assignCards, type Misfit } from './cards.ts';
import type { HostIdentity, InterfaceIdentity } from './contract.ts';
import { type InterfacePair, pairInterfaces } from './interface-pair.ts';
import { type Layout, layoutOf } from './network-layout.ts';

export type { InterfacePair };

export interface Correspondence {
  readonly pairs: readonly InterfacePair[];
  /**
   * The understudy's address in the place of this one of the lead; null: none takes its place; undefined: not the
   * lead's.
   */
  readonly addressFor: (address: Address) => Address | null | undefined;
  /** The same for any of the lead's addresses or none, within an interface: whether it is already the understudy's. */
  readonly isUnderstudys: (address: Address) => boolean;
  /**
   * All hardware addresses of the lead that are known, in lower case: those of cards without an address of their own
   * too.
   */
  readonly macs: readonly string[];
  readonly macFor: (mac: string) => string | null | undefined;
  /**
   * What an interface is called on the understudy: the name itself where nothing takes its place, or nothing has to.
   */
  readonly nameFor: (name: string) => string;
  readonly misfits: readonly Misfit[];
}

const NOTHING = layoutOf([]);

/**
 * Interfaces by equal name where there is one, else in the order in which they are listed.
 * @param layout what the image's configuration makes of cards
 */
export function correspond(lead: HostIdentity, understudy: HostIdentity, layout: Layout = NOTHING): Correspondence {
  const declared = pairInterfaces(lead.interfaces, understudy.interfaces);
  const cards = assignCards(declared, understudy.interfaces, layout);
  const pairs = declared.map((pair) => ({ ...pair, understudy: cards.asConfigured(pair) }));
  const addresses = new Map<string, Address | null>();
  for (const pair of pairs) {
    for (const family of [4, 6] as const) {
      const theirs = addressesOf(pair.understudy, family);
      for (const [index, address] of addressesOf(pair.lead, family).entries())
        addresses.set(address.ip, theirs[index] ?? null);
    }
  }
  const own = new Set(allAddresses(understudy).map(({ ip }) => ip));
  return {
    pairs,
    addressFor: (address) => addresses.get(address.ip),
    isUnderstudys: (address) => own.has(address.ip),
    macs: [...cards.macs.keys()],
    macFor: (mac) => cards.macs.get(mac),
    nameFor: cards.nameFor,
    misfits: cards.misfits,
  };
}

export function addressesOf(one: InterfaceIdentity | null, family: 4 | 6): readonly Address[] {
  return parsed(one?.addresses ?? []).filter((address) => address.family === family);
}

export function allAddresses(host: HostIdentity): readonly Address[] {
  return host.interfaces.flatMap(({ addresses }) => parsed(addresses));
}

function parsed(texts: readonly string[]): Address[] {
  return texts.map(parseAddress).filter((address) => address !== null);
}

/** The default gateway of a family, or null. */
export function gatewayOf(one: InterfaceIdentity | null, family: 4 | 6): Address | null {
  const gateway = one?.gateway === undefined ? null : parseAddress(one.gateway);
  return gateway?.family === family ? gateway : null;
}

/** "web1.example.org", or just "web1". */
export function fullNameOf(host: HostIdentity): string {
  return host.domain === undefined ? host.hostName : `${host.hostName}.${host.domain}`;
}
