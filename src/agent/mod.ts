export { type AgentCommand, runAgentCommand } from './command.ts';
export { agentMain } from './main.ts';
export {
  type AgentEvidence,
  type AgentProbe,
  type AgentSignal,
  type AgentVerdict,
  CHANGES_MAX,
  EVIDENCE_MAX,
  INSTRUCTION_BYTES_MAX,
  type Instruction,
  JUDGED_MAX,
  REPORT_BYTES_MAX,
  type Report,
  SIGNAL_NAME,
  SIGNALS_MAX,
  type SignalReading,
  type SignalSummary,
  type VerdictChange,
} from './protocol.ts';
export type { Delivery } from './reporter.ts';
export { type AgentOptions, runAgent } from './run.ts';
export { type AgentSettings, readSettings, SETTINGS_FILE, type SettingsRequest } from './settings.ts';
