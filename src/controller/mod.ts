export type {
  AuditEntry,
  AuditView,
  ControllerApi,
  DecisionAction,
  DecisionView,
  DismissalView,
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
export { type Controller, startController } from './controller.ts';
export { queryFor } from './observe.ts';
export type { AgentSecret, ControllerParts } from './parts.ts';
export { auditSchema } from './record-kinds.ts';
export { unusableRecords } from './scan.ts';
export { asWorkOf } from './uncaught.ts';
