// What the rules for ifupdown and systemd-networkd share: how values of a lead's interface become those of the
// understudy's.
import { type Address, formatAddress, isShared, parseAddress, parseMac } from '../address.ts';
import type { InterfaceIdentity } from '../contract.ts';
import { type Correspondence, gatewayOf, type InterfacePair } from '../correspondence.ts';
import type { DeclaredDevice } from '../network-layout.ts';

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
  /** What the network is made of, with or without addresses. */
  readonly devices: readonly DeclaredDevice[];
}

export function addressesIn({ interfaces }: NetworkFacts): readonly Address[] {
  return interfaces.flatMap(({ addresses }) => addresses);
}

/**
 * What becomes of an address in a file: another in its place, 'gone', 'kept' (nobody's own, or new already) or
 * 'strange'.
 */
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

/**
 * Hardware addresses in a list of words. Those in whose place nobody said another stay, and are reported as misfits.
 */
export function macsInPlaceOf(words: string, pairs: Correspondence): string {
  return words
    .split(/(\s+)/)
    .map((word) => macInPlaceOf(word, pairs) ?? word)
    .join('');
}

/** Null: it stays as it is spelled, for it is no hardware address, is right, or nobody said another. */
export function macInPlaceOf(word: string, pairs: Correspondence): string | null {
  const mac = parseMac(word);
  const target = mac === null ? null : pairs.macFor(mac);
  return target === mac ? null : (target ?? null);
}

export function wordsOf(text: string): string[] {
  return text.split(/\s+/).filter((word) => word !== '');
}

/** Names of interfaces in a list of words. */
export function namesInPlaceOf(words: string, pairs: Correspondence): string {
  return words
    .split(/(\s+)/)
    .map((word) => pairs.nameFor(word))
    .join('');
}

/** A default route that the understudy has and the lead, as declared, has not. */
export function extraGateway(pair: InterfacePair, family: 4 | 6): string | null {
  const gateway = gatewayOf(pair.understudy, family);
  return gateway === null || pair.lead.gateway !== undefined ? null : gateway.ip;
}
