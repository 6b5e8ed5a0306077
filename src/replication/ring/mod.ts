export * from './layout.ts';
export { mapRing, mapTables } from './map.ts';
export { NeedSet, nextInUnion } from './need-set.ts';
export {
  ensureProducer,
  LOOK_INTERVAL_MS,
  loseInterest,
  meet,
  openExisting,
  PRODUCER_OPTIONS,
  type ProducerCommand,
  producerAlive,
  type Rendezvous,
  removeIfDeserted,
  removeRing,
  reopen,
  ringPath,
  sweepStale,
  tryClose,
} from './rendezvous.ts';
export { type BadRange, ConsumerEntry, type Digest, Ring, RingHeader, type Signal, type SlotEntry } from './ring.ts';
export { runtimeFolder } from './runtime-folder.ts';
