// Which card of the understudy takes the place of which of the lead, and what of the lead's network has none. A bond, a
// bridge or a VLAN stays what it is on the understudy: only the cards below it are others.
import { isSameNetwork, parseAddress } from './address.ts';
import type { InterfaceIdentity } from './contract.ts';
import type { InterfacePair } from './interface-pair.ts';
import { cardOfVlanName, type Device, kindByName, type Layout, vlanOfName } from './network-layout.ts';

/** Something of the lead's network that nothing of the understudy's can take the place of. */
export interface Misfit {
  readonly path: string;
  readonly value: string;
  readonly why: string;
}

export interface CardAssignment {
  /** Of the lead's hardware addresses; null: no card takes its place. */
  readonly macs: ReadonlyMap<string, string | null>;
  readonly nameFor: (name: string) => string;
  /** What takes an interface's place, under the name that the lead's configuration has for it then. */
  readonly asConfigured: (pair: InterfacePair) => InterfaceIdentity | null;
  readonly misfits: readonly Misfit[];
}

/** A card of the lead, with all that the configuration calls it. */
interface OldCard {
  readonly names: readonly string[];
  readonly macs: readonly string[];
  readonly path: string;
  /** What it is a part of, for people; null: nothing. */
  readonly of: string | null;
}

interface NewCard {
  /** null: nobody said; it has the name that the lead's has. */
  readonly name: string | null;
  /** null: nobody knows it. */
  readonly mac: string | null;
}

const NO_CARD = 'The understudy has no card left that could take its place.';
const NO_MAC = 'The description of the understudy has no hardware address for the card that takes its place.';
const SET = 'It is set by hand, and two hosts of one hardware address take the traffic from each other.';
const KIND = 'The understudy has an interface of another kind in its place, and one cannot be made of the other.';
const VLAN = 'This VLAN may not reach the understudy, whose address is in another network.';
const WHERE = '/etc';
const MISFITS_MAX = 100;

export function assignCards(
  pairs: readonly InterfacePair[],
  understudies: readonly InterfaceIdentity[],
  layout: Layout,
): CardAssignment {
  const misfits: Misfit[] = [];
  const olds = oldCards(pairs, layout);
  const news = newCards(understudies, layout);
  const places = placesOf(olds, news, pairs, layout);
  const names = new Map<string, string>();
  const macs = new Map<string, string | null>();
  const own = new Set(understudies.map(({ mac }) => mac.toLowerCase()));
  for (const { lead, understudy } of pairs)
    if (lead.mac !== '') macs.set(lead.mac.toLowerCase(), understudy?.mac.toLowerCase() || null);
  for (const { lead, understudy } of pairs) {
    const areCards = understudy !== null && isCard(lead, layout) && kindOfTheirs(understudy.name, layout) === 'card';
    if (areCards && lead.name !== '' && !names.has(lead.name)) names.set(lead.name, understudy.name);
  }
  const isKnown = news.some(({ name }) => name !== null);
  for (const old of olds) {
    const place = places.get(old);
    for (const name of old.names) if (place?.name != null) names.set(name, place.name);
    const bound = old.macs.filter((mac) => !own.has(mac));
    for (const mac of bound) if (macs.get(mac) == null) macs.set(mac, place?.mac ?? null);
    const lost = bound.filter((mac) => macs.get(mac) === null);
    if (lost.length === 0 && (place !== undefined || old.of === null || !isKnown)) continue;
    const value = `${old.names[0] ?? lost[0] ?? ''}${old.of === null ? '' : `, part of ${old.of}`}`;
    misfits.push({ path: old.path, value, why: place === undefined ? NO_CARD : NO_MAC });
  }
  for (const { mac, path } of layout.macsSet) {
    if (!own.has(mac) && macs.get(mac) == null) misfits.push({ path, value: mac, why: SET });
  }
  const nameFor = (name: string): string => nameIn({ names, macs, layout }, name);
  misfits.push(...pairs.flatMap((pair) => misfitOf(pair, layout)));
  const placed = new Map(olds.flatMap((old) => old.names.map((name) => [name, places.get(old)] as const)));
  const asThere = ({ lead, understudy }: InterfacePair): InterfaceIdentity | null => {
    if (understudy !== null) return asConfigured(lead, understudy, nameFor, layout);
    // A card is there for what is built on it, also where the understudy names no interface of its own for it.
    const card = lead.addresses.length === 0 ? placed.get(lead.name) : undefined;
    return card === undefined ? null : { name: card.name ?? lead.name, mac: card.mac ?? '', addresses: [] };
  };
  return { macs, nameFor, misfits: bounded(misfits), asConfigured: asThere };
}

/** So that a hostile configuration makes no report that nobody can read. */
function bounded(misfits: readonly Misfit[]): readonly Misfit[] {
  const rest = misfits.length - MISFITS_MAX;
  if (rest <= 0) return misfits;
  return [...misfits.slice(0, MISFITS_MAX), { path: WHERE, value: `${rest} more`, why: NO_CARD }];
}

function nameIn(
  {
    names,
    macs,
    layout,
  }: Pick<CardAssignment, 'macs'> & { readonly names: ReadonlyMap<string, string>; layout: Layout },
  name: string,
): string {
  const whole = names.get(name);
  if (whole !== undefined) return whole;
  const [, card = '', rest = ''] = /^([^.:]+)([.:].*)$/.exec(name) ?? [];
  if (card !== '' && layout.kindOf(card) === 'card') return (names.get(card) ?? card) + rest;
  // systemd.net-naming-scheme(7): cards without a place of their own are named by their hardware address.
  const mac = /^enx([0-9a-f]{12})$/.exec(name)?.[1]?.replace(/..(?!$)/g, '$&:');
  const next = mac === undefined ? null : macs.get(mac);
  return next == null ? name : `enx${next.replaceAll(':', '')}`;
}

/** Those that carry addresses, are parts of something, or are chosen by a hardware address. */
function oldCards(pairs: readonly InterfacePair[], layout: Layout): readonly OldCard[] {
  const wholes = wholesOf(layout);
  const isNamed = ({ names }: Device): boolean => pairs.some(({ lead }) => names.has(lead.name));
  const olds: OldCard[] = [];
  for (const device of layout.devices) {
    const { names, macs, path, kind } = device;
    const of = wholes.get(device) ?? null;
    const isUsed = of !== null || isNamed(device) || (macs.size > 0 && !device.namesOnly);
    if (kind === 'card' && isUsed) olds.push({ names: [...names], macs: [...macs], path, of });
  }
  return olds;
}

/** Which device each is a part of, by the first that says so. */
function wholesOf(layout: Layout): ReadonlyMap<Device, string> {
  const wholes = new Map<Device, string>();
  for (const device of layout.devices) {
    for (const name of device.parts) {
      const part = layout.device(name);
      if (part !== undefined && !wholes.has(part)) wholes.set(part, [...device.names][0] ?? '');
    }
  }
  return wholes;
}

function newCards(understudies: readonly InterfaceIdentity[], layout: Layout): readonly NewCard[] {
  const cards: NewCard[] = [];
  for (const { name, mac } of understudies) {
    const kind = kindOfTheirs(name, layout);
    const below = kind === 'vlan' ? cardOfVlanName(name) : null;
    const called = kind === 'card' ? name : below !== null && kindOfTheirs(below, layout) === 'card' ? below : null;
    if (called !== null && cards.some((card) => card.name === called)) continue;
    cards.push({ name: called, mac: mac.toLowerCase() || null });
  }
  return cards;
}

/** A name that the lead's configuration gives to a bond means a bond on the understudy too. */
function kindOfTheirs(name: string, layout: Layout): Device['kind'] {
  const kind = layout.kindOf(name);
  return kind === 'card' ? kindByName(name) : kind;
}

function placesOf(
  olds: readonly OldCard[],
  news: readonly NewCard[],
  pairs: readonly InterfacePair[],
  layout: Layout,
): ReadonlyMap<OldCard, NewCard> {
  const places = new Map<OldCard, NewCard>();
  const free = new Set(news);
  const take = (old: OldCard, card: NewCard | undefined): void => {
    if (card === undefined || !free.delete(card)) return;
    places.set(old, card);
  };
  const pairOf = ({ names, macs }: OldCard): InterfacePair | undefined =>
    pairs.find(
      ({ lead }) => names.includes(lead.name) || (isCard(lead, layout) && macs.includes(lead.mac.toLowerCase())),
    );
  // A bond has the hardware address of one of its cards: the understudy's is that of the card in its place.
  const sameMac = (old: OldCard): string[] => [
    ...old.macs,
    ...pairs.flatMap(({ lead, understudy }) =>
      old.macs.includes(lead.mac.toLowerCase()) && understudy !== null ? [understudy.mac.toLowerCase()] : [],
    ),
  ];
  for (const old of olds) {
    const known = sameMac(old);
    take(
      old,
      news.find(({ mac }) => mac !== null && known.includes(mac)),
    );
  }
  for (const old of olds) {
    if (places.has(old)) continue;
    const theirs = pairOf(old)?.understudy?.name;
    take(old, theirs === undefined ? undefined : news.find(({ name }) => name === theirs));
  }
  // One whose interface the understudy has not stays without a card: another's is not for it.
  const rest = olds.filter((old) => !places.has(old) && (pairOf(old) === undefined || old.of !== null));
  for (const old of rest)
    take(
      old,
      news.find(({ name }) => name !== null && old.names.includes(name)),
    );
  for (const old of rest) if (!places.has(old)) take(old, [...free][0]);
  return places;
}

function isCard({ name }: InterfaceIdentity, layout: Layout): boolean {
  return name === '' || layout.kindOf(name) === 'card';
}

function asConfigured(
  lead: InterfaceIdentity,
  understudy: InterfaceIdentity,
  nameFor: (name: string) => string,
  layout: Layout,
): InterfaceIdentity {
  const isFree = isCard(lead, layout) && kindOfTheirs(understudy.name, layout) === 'card';
  return lead.name === '' || isFree ? understudy : { ...understudy, name: nameFor(lead.name) };
}

function misfitOf({ lead, understudy }: InterfacePair, layout: Layout): readonly Misfit[] {
  if (understudy === null || lead.name === '' || lead.name === understudy.name) return [];
  const [kind, theirs] = [layout.kindOf(lead.name), kindOfTheirs(understudy.name, layout)];
  const misfit = (why: string): readonly Misfit[] => [
    { path: layout.device(lead.name)?.path ?? WHERE, value: `${lead.name}, ${understudy.name} on the understudy`, why },
  ];
  if (kind === theirs) {
    const [one, other] = [layout.device(lead.name)?.vlan ?? vlanOfName(lead.name), vlanOfName(understudy.name)];
    return kind === 'vlan' && other !== null && one !== other ? misfit(KIND) : [];
  }
  if (theirs !== 'card') return misfit(KIND);
  return kind === 'vlan' && !isInNetworkOf(lead, understudy) ? misfit(VLAN) : [];
}

function isInNetworkOf(lead: InterfaceIdentity, understudy: InterfaceIdentity): boolean {
  const [one, other] = [lead, understudy].map(({ addresses }) => parseAddress(addresses[0] ?? ''));
  return one != null && other != null && isSameNetwork(one, other);
}
