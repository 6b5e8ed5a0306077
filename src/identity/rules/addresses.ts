// Whether all addresses of the lead are where a rule can change them. What configures the network some other way would
// go to the clone as it is, and both hosts would have one address.
import { type Address, formatAddress } from '../address.ts';
import type { Finding, InterfaceIdentity } from '../contract.ts';
import { addressesOf, allAddresses, correspond } from '../correspondence.ts';
import type { Rule } from './contract.ts';
import { finding } from './finding.ts';
import { addressesIn, type NetworkFacts } from './network-file.ts';
import { declared } from './network-formats.ts';

const RULE = 'addresses';
const PATH = '/etc';
const NOWHERE =
  'No configuration that is understood says where this address of the lead comes from, so it cannot be changed.';
const DYNAMIC =
  'It is assigned by the hardware address (DHCP or router advertisements), which the understudy has of its own.';
const UNSAID =
  'The image does not say which name and which addresses its host has, so they were not looked for. Say who it is with --lead.';
const GIVEN =
  'A server gives this interface its addresses (DHCP or router advertisements), so the image does not say which they are, and they were not looked for. Say who the host is with --lead.';
const NO_PLACE = 'The lead has nothing in whose place this address of the understudy could go.';

export const addressesRule: Rule = {
  name: RULE,
  async find(tree, { lead, understudy, correspondence }) {
    const facts = await declared(tree);
    if (lead === null) return [unsaid('not described', UNSAID)];
    const pairs = correspondence ?? correspond(lead, understudy ?? lead);
    const found: Finding[] = [];
    for (const one of lead.interfaces) {
      for (const address of [...addressesOf(one, 4), ...addressesOf(one, 6)]) {
        const target = pairs.addressFor(address);
        const isThere = has(facts, address) || (target !== null && target !== undefined && has(facts, target));
        if (!isThere) found.push(missing(facts, one, address));
      }
    }
    for (const { name, addresses } of lead.interfaces) {
      if (addresses.length === 0 && facts.dynamic.length > 0) found.push(unsaid(name, GIVEN));
    }
    const placed = new Set(allAddresses(lead).map((address) => pairs.addressFor(address)?.ip));
    for (const address of understudy === null ? [] : allAddresses(understudy)) {
      if (placed.has(address.ip) || has(facts, address)) continue;
      const more = { rule: RULE, path: PATH, value: formatAddress(address), why: NO_PLACE };
      found.push(finding({ ...more, action: 'unknown', confidence: 'likely' }));
    }
    return found;
  },
  change: async () => [],
  async verify(tree, { lead, understudy, correspondence, findings }) {
    const facts = await declared(tree);
    const excused = new Set(findings.filter(({ rule }) => rule === RULE).map(({ value }) => value));
    const problems: string[] = [];
    for (const address of allAddresses(lead)) {
      const target = correspondence.addressFor(address) ?? null;
      if (excused.has(formatAddress(address))) continue;
      if (target !== null && !has(facts, target)) problems.push(`no configuration has ${formatAddress(target)}`);
      const isShared = allAddresses(understudy).some(({ ip }) => ip === address.ip);
      if (!isShared && has(facts, address)) problems.push(`the configuration of the network still has ${address.ip}`);
    }
    return problems;
  },
};

function unsaid(value: string, why: string): Finding {
  return finding({ rule: RULE, path: PATH, value, why, action: 'keep', confidence: 'guess' });
}

function has(facts: NetworkFacts, address: Address): boolean {
  return addressesIn(facts).some(({ ip }) => ip === address.ip);
}

function missing(facts: NetworkFacts, one: InterfaceIdentity, address: Address): Finding {
  const isDynamic = facts.dynamic.some(({ family, matches }) => family === address.family && matches(one));
  const value = formatAddress(address);
  if (!isDynamic)
    return finding({ rule: RULE, path: PATH, value, why: NOWHERE, action: 'unknown', confidence: 'likely' });
  return finding({ rule: RULE, path: PATH, value, why: DYNAMIC, action: 'keep', confidence: 'likely' });
}
