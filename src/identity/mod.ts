export { acceptance, listed, openFindings } from './accept.ts';
export type {
  Action,
  AgentCertificate,
  AgentIdentity,
  Coverage,
  FileChange,
  Finding,
  HostIdentity,
  IdentityEngine,
  IdentityRequest,
  Inspection,
  InterfaceIdentity,
  Kept,
  Omission,
  OpenedImage,
  Plan,
  PlannedCommand,
  PlannedRename,
  StartEntry,
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
export { showCoverage, showFindings, showStarts } from './show.ts';
