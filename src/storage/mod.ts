export type {
  Backup,
  CopyProgress,
  PersonaliseRequest,
  ReplicateRequest,
  StorageNode,
  StorageStatus,
  VolumeContent,
  VolumeStatus,
} from './contract.ts';
export { createStorageNode, type StorageNodeOptions } from './create.ts';
export {
  type GatewayCertificates,
  type GatewayTls,
  gatewayArguments,
  type Listen,
  TLS_PRIORITY,
} from './gateway/mod.ts';
export type { LocalStorageNode } from './node.ts';
export { storageRecordFlaw } from './record-flaw.ts';
export { recordedBackups, storagePaths } from './recorded.ts';
