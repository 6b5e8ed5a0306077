export type {
  ControllerApi,
  DecisionAction,
  DecisionView,
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
  VerdictView,
} from './contract.ts';
export { type Controller, startController } from './controller.ts';
export { queryFor } from './observe.ts';
export type { AgentSecret, ControllerParts } from './parts.ts';
