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
export { createEngineHere, type EngineHere, type HereOptions } from './engine.ts';
export { createIdentityEngine, type IdentityOptions, readerProgram } from './isolated/mod.ts';
export {
  builtinRules,
  type ChangeContext,
  type Edit,
  type FindContext,
  type OwnRule,
  type Rule,
  type RuleSet,
  ruleSet,
  type VerifyContext,
} from './rules/mod.ts';
export { showFindings } from './show.ts';
