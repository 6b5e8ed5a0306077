export { findBackups } from './backup-files.ts';
export type {
  Backup,
  CopyProgress,
  InstallationFloor,
  PersonaliseRequest,
  ReplicateRequest,
  StorageNode,
  StorageStatus,
  VolumeContent,
  VolumeStatus,
} from './contract.ts';
export { createStorageNode, type StorageNodeOptions } from './create.ts';
export { daemonsOf } from './daemon/mod.ts';
export {
  type GatewayCertificates,
  type GatewayTls,
  gatewayArguments,
  type Listen,
  TLS_PRIORITY,
} from './gateway/mod.ts';
export { earlierStorageFolder, hasEarlierFolder, moveEarlierFolder } from './move-folder.ts';
export type { LocalStorageNode } from './node.ts';
export { backupBytesOf } from './qemu-backend.ts';
export { storageRecordFlaw } from './record-flaw.ts';
export { recordedBackups, storagePaths } from './recorded.ts';
export { gateAboveFloor, sequenceOf } from './stamps/mod.ts';
export {
  recordSurvey,
  type Say,
  type Survey,
  type SurveyedVolume,
  type SurveyOptions,
  stampsIn,
  surveyVolumes,
} from './survey.ts';
