// The rules that come with the program, in the order in which they look and change.
import { addressesRule } from './addresses.ts';
import { agentRule } from './agent.ts';
import type { Rule } from './contract.ts';
import { declaredRules } from './declared/mod.ts';
import { hostNameRule } from './host-name.ts';
import { hostsFileRule } from './hosts-file.ts';
import { identitySignsRule } from './identity-signs.ts';
import { interfacesRule } from './interfaces.ts';
import { machineIdRule } from './machine-id.ts';
import { machineIdCopiesRule } from './machine-id-copies.ts';
import { mentionsRule } from './mentions.ts';
import { nameSettingsRule } from './name-settings.ts';
import { networkFormats } from './network-formats.ts';
import { networkRule } from './network-rule.ts';
import { sshHostKeysRule } from './ssh-host-keys.ts';
import { systemKindRule } from './system-kind.ts';

/**
 * Addresses are looked for before they change; hosts-file asks for the old host name; copies of the machine-id are
 * known by it; keys are made while the others look; mentions looks at what all have left.
 */
export const builtinRules: readonly Rule[] = [
  systemKindRule,
  addressesRule,
  interfacesRule,
  hostsFileRule,
  hostNameRule,
  nameSettingsRule,
  ...networkFormats.map(networkRule),
  machineIdCopiesRule,
  machineIdRule,
  agentRule,
  ...declaredRules,
  sshHostKeysRule,
  identitySignsRule,
  mentionsRule,
];
