export type {
  ApiConfig,
  CheckConfig,
  Configuration,
  DirectorConfig,
  DriverSchemas,
  HostConfig,
  HostInterfaceConfig,
  Mode,
  ObjectiveConfig,
  PowerConfig,
  ScaleInConfig,
  ServiceConfig,
  StorageConfig,
  TimeoutsConfig,
  VolumeConfig,
} from './contract.ts';
export type { JsonRecord } from './json.ts';
