export { type Change, FOREIGN, type Json, type Lease, type Store, type StoredRecord } from './contract.ts';
export { epochFlaw, storeEpochGate } from './epoch-gate.ts';
export type { LeaseClock } from './lease-rules.ts';
export { type MemoryStoreOptions, memoryStore, StoreMemory } from './memory.ts';
export { isKey } from './record-rules.ts';
export { copySqliteStore, openSqliteStore, type SqliteStoreOptions } from './sqlite.ts';
export { damageOfStore } from './sqlite-check.ts';
export { update } from './update.ts';
