export { boundedJson } from './bounded-text.ts';
export { builtinRules } from './builtin.ts';
export type {
  ChangeContext,
  Edit,
  FindContext,
  Makers,
  Rule,
  RuleCommand,
  SshKeyPair,
  SshKeySpec,
  VerifyContext,
} from './contract.ts';
export { guarded, orFailed } from './guarded.ts';
export { hostNameIn } from './host-name.ts';
export { nameOfOwnAddress } from './hosts-file.ts';
export { machineIdIn } from './machine-id.ts';
export { rulesOfStart } from './meant.ts';
export { mentionsBelow } from './mentions.ts';
export { correspondIn, declaredInterfaces } from './network-formats.ts';
export { valuesIn } from './old-values.ts';
export type { OwnRule } from './own-rules.ts';
export { type RuleSet, ruleSet, rulesWith } from './rule-set.ts';
export { matchesShellPattern } from './shell-pattern.ts';
export { sshFingerprints } from './ssh-host-keys.ts';
