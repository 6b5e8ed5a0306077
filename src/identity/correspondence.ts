// What of the understudy takes the place of what of the lead: interface for interface, address for address.
import { type Address, parseAddress } from './address.ts';
import type { HostIdentity, InterfaceIdentity } from './contract.ts';

export interface InterfacePair {
  readonly lead: InterfaceIdentity;
  /** null: the understudy has fewer interfaces. */
  readonly understudy: InterfaceIdentity | null;
}

export interface Correspondence {
  readonly pairs: readonly InterfacePair[];
  /** The understudy's address in the place of this one of the lead; null: none takes its place; undefined: not the lead's. */
  readonly addressFor: (address: Address) => Address | null | undefined;
  /** The same for any of the lead's addresses or none, within an interface: whether it is already the understudy's. */
  readonly isUnderstudys: (address: Address) => boolean;
  readonly macFor: (mac: string) => string | null | undefined;
}

/** By equal name where there is one, else in the order in which they are listed. */
export function correspond(lead: HostIdentity, understudy: HostIdentity): Correspondence {
  const pairs = pairInterfaces(lead.interfaces, understudy.interfaces);
  const addresses = new Map<string, Address | null>();
  const macs = new Map<string, string | null>();
  for (const pair of pairs) {
    macs.set(pair.lead.mac.toLowerCase(), pair.understudy?.mac.toLowerCase() ?? null);
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
    macFor: (mac) => macs.get(mac),
  };
}

function pairInterfaces(
  leads: readonly InterfaceIdentity[],
  understudies: readonly InterfaceIdentity[],
): readonly InterfacePair[] {
  const named = new Map(understudies.map((one) => [one.name, one]));
  const taken = new Set(leads.map(({ name }) => named.get(name)));
  const rest = understudies.filter((one) => !taken.has(one));
  return leads.map((lead) => ({ lead, understudy: named.get(lead.name) ?? rest.shift() ?? null }));
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
