// What the rules for ifupdown and systemd-networkd share: how values of a lead's interface become those of the understudy's.
import { type Address, formatAddress, isShared, parseAddress, parseMac } from '../address.ts';
import type { InterfaceIdentity } from '../contract.ts';
import { type Correspondence, gatewayOf, type InterfacePair } from '../correspondence.ts';

export interface Rewritten {
  readonly text: string;
  /** Addresses that are neither the lead's, as declared, nor the understudy's: on a clone they would exist twice. */
  readonly strange: readonly string[];
}

export interface DeclaredInterface {
  /** null: whichever it is. */
  readonly name: string | null;
  /** Of the hardware by which it is chosen. */
  readonly mac: string | null;
  readonly addresses: readonly Address[];
}

/** What a configuration declares, for the question whether anything of the lead is left out. */
export interface NetworkFacts {
  readonly interfaces: readonly DeclaredInterface[];
  /** Interfaces whose addresses DHCP or router advertisements give. */
  readonly dynamic: readonly { readonly family: 4 | 6; readonly matches: (one: InterfaceIdentity) => boolean }[];
}

export function addressesIn({ interfaces }: NetworkFacts): readonly Address[] {
  return interfaces.flatMap(({ addresses }) => addresses);
}

/** What becomes of an address in a file: another in its place, 'gone', 'kept' (nobody's own, or new already) or 'strange'. */
export function addressOutcome(address: Address, pairs: Correspondence): Address | 'gone' | 'kept' | 'strange' {
  const target = pairs.addressFor(address);
  if (target === null) return 'gone';
  // The prefix of the understudy's own address is right also where the file had another.
  if (target !== undefined) return { ...target, prefix: address.prefix === null ? null : target.prefix };
  return isShared(address) || pairs.isUnderstudys(address) ? 'kept' : 'strange';
}

/** A default gateway's new text: null when the line goes, and the old text where it is no address. */
export function gatewayInPlaceOf(text: string, pair: InterfacePair): string | null {
  const old = parseAddress(text);
  if (old === null) return text;
  const gateway = gatewayOf(pair.understudy, old.family);
  return gateway === null ? null : formatAddress({ ...gateway, prefix: null });
}

/** Hardware addresses in a list of words; all others stay. A word goes when no interface takes its place. */
export function macsInPlaceOf(words: string, pairs: Correspondence): string {
  const written = words.split(/\s+/).map((word) => {
    const mac = parseMac(word);
    const target = mac === null ? undefined : pairs.macFor(mac);
    // Spelled as it was where it is the same: nothing is to change in a file that is right already.
    return target === undefined || target === mac ? word : target;
  });
  return written.filter((word) => word !== null).join(' ');
}

/** A default route that the understudy has and the lead, as declared, has not. */
export function extraGateway(pair: InterfacePair, family: 4 | 6): string | null {
  const gateway = gatewayOf(pair.understudy, family);
  return gateway === null || pair.lead.gateway !== undefined ? null : gateway.ip;
}
