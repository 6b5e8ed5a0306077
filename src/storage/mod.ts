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
