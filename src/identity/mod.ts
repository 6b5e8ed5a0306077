export type {
  Action,
  FileChange,
  Finding,
  HostIdentity,
  IdentityEngine,
  IdentityRequest,
  Inspection,
  InterfaceIdentity,
  Plan,
  Verification,
} from './contract.ts';
