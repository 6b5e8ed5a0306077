export type {
  Action,
  FileChange,
  Finding,
  HostIdentity,
  IdentityEngine,
  IdentityRequest,
  Inspection,
  InterfaceIdentity,
  Kept,
  Plan,
  Transplant,
  TransplantRequest,
  Verification,
} from './contract.ts';
export { createIdentityEngine, type IdentityOptions } from './engine.ts';
export {
  builtinRules,
  type ChangeContext,
  type Edit,
  type FindContext,
  type OwnRule,
  ownRules,
  problemOfRule,
  type Rule,
  type VerifyContext,
} from './rules/mod.ts';
export { showFindings } from './show.ts';
