export type { Change, Json, Lease, Store, StoredRecord } from './contract.ts';
