export { intervalOf } from './build.ts';
export { type ConfigChange, changesBetween, describeChange, fixedSections } from './changes.ts';
export type {
  ApiConfig,
  CheckConfig,
  Configuration,
  DirectorConfig,
  DriverSchemas,
  HostConfig,
  HostInterfaceConfig,
  Mode,
  PowerConfig,
  ScaleInConfig,
  ScaleOutConfig,
  ServiceConfig,
  SignalConfig,
  SignalSource,
  StorageConfig,
  TimeoutsConfig,
  TlsConfig,
  VolumeConfig,
} from './contract.ts';
export type { RawIdentity, RawRules } from './identity-schema.ts';
export type { JsonRecord } from './json.ts';
export { configurationJsonSchema, type JsonSchema, policyJsonSchema, rulesJsonSchema } from './json-schema.ts';
export { becomes, liveConfiguration } from './live.ts';
export {
  type Connection,
  loadConfiguration,
  loadConnection,
  loadIdentity,
  loadPolicy,
  loadRules,
  loadWritten,
  type Reading,
  readConfiguration,
  type Written,
} from './load.ts';
export type { RawPolicy } from './policy-schema.ts';
export { formatProblem, type Problem } from './problem.ts';
export { AGENT_SIGNALS } from './service-signals.ts';
export { signalPolicyOf } from './signal-schema.ts';
