export type {
  Action,
  AgentCertificate,
  AgentIdentity,
  FileChange,
  Finding,
  HostIdentity,
  IdentityEngine,
  IdentityRequest,
  Inspection,
  InterfaceIdentity,
  Kept,
  OpenedImage,
  Plan,
  PlannedCommand,
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
  type Rule,
  ruleSet,
  type VerifyContext,
} from './rules/mod.ts';
export { showFindings } from './show.ts';
