export type {
  AuditEntry,
  AuditView,
  ControllerApi,
  DecisionAction,
  DecisionView,
  DismissalView,
  DismissRequest,
  EngagementView,
  EventView,
  EvidenceView,
  HostView,
  InspectionView,
  Phase,
  PlanView,
  ServiceView,
  StageView,
  StatusView,
  UnusableRecordView,
  VerdictView,
} from './contract.ts';
export type { ComponentState, ComponentView, HoldView } from './contract-parts.ts';
export { type Controller, startController } from './controller.ts';
export { queryFor } from './observe.ts';
export type { AgentSecret, ControllerParts } from './parts.ts';
export { auditSchema } from './record-kinds.ts';
export { understudiesOf } from './records.ts';
export { historyOf, planRecovery, type Recovery, recordRecovery } from './recovery.ts';
export type { Reconfiguration } from './reload.ts';
export { unusableRecords } from './scan.ts';
export { asWorkOf } from './uncaught.ts';
