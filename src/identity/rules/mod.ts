export { builtinRules } from './builtin.ts';
export type {
  ChangeContext,
  Edit,
  FindContext,
  Makers,
  Rule,
  SshKeyPair,
  SshKeySpec,
  VerifyContext,
} from './contract.ts';
export { machineIdIn } from './machine-id.ts';
export { sshFingerprints } from './ssh-host-keys.ts';
