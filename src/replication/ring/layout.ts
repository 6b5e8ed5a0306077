// The shared memory of one carousel: every word that two processes share, its one writer, its unit and its ordering.
// The Promela model (test/model/ring.pml) uses the same names.
//
//   +--------------------------+ 0
//   | header (one page)        |  geometry, sequences, futex words, failure
//   +--------------------------+ consumersAt
//   | consumer table           |  CONSUMERS_MAX entries
//   +--------------------------+ badRangesAt
//   | unreadable ranges        |
//   +--------------------------+ slotsAt
//   | slot table               |  what each slot holds
//   +--------------------------+ zeroMapAt
//   | zero map                 |  one bit a block: the source certainly reads as zeros
//   +--------------------------+ digestsAt
//   | digests                  |  16 bytes a block, zero until first read
//   +--------------------------+ needSetsAt
//   | need-sets                |  CONSUMERS_MAX bitmaps, one bit a block
//   +--------------------------+ dataAt
//   | slots                    |  slotCount * blockBytes, at a multiple of a huge page (of a page where they are
// smaller)
//   +--------------------------+
//
// Ordering. All words below are read and written with Atomics, which are sequentially consistent. Plain bytes (slot
// data,
// digests, slot table) are published by a later Atomics.store to `head` and read after an Atomics.load of it.
//
// Sequences (`head`, `tail`, `cursor`) are 32-bit counters of blocks published that wrap; they are compared by signed
// difference only (`sequenceDelta`), which is right while two compared sequences lie less than 2^31 apart, that is
// within one ring. The slot of sequence s is s mod slotCount; slotCount is a power of two, so wrapping keeps it right.
import { assert, limits } from '../../base/mod.ts';

/** "UNDRSTDY" as two words; the first eight bytes of every ring of every version. */
export const MAGIC = [0x5244_4e55, 0x5944_5453] as const;

/** Raised with every change of this file that an older program would misread. */
export const LAYOUT_VERSION = 5;

/**
 * Header words (index into Int32Array). Writer in brackets: creator, producer, consumer (any), or the holder of the
 * lock.
 */
export const Header = {
  /** [creator] MAGIC. */
  magic0: 0,
  magic1: 1,
  /** [creator] LAYOUT_VERSION. */
  layoutVersion: 2,
  /** [producer, holder of RENDEZVOUS] RingState. Futex: joiners wait here for `starting` to end. */
  state: 3,
  /** [producer] Bytes of a block; slot size. */
  blockBytes: 4,
  /** [producer] Blocks of the image; for a stream of unknown length the most it may have, until `sizeKnown`. */
  blockCount: 5,
  /** [producer] 1 when blockCount and sourceBytes are final. */
  sizeKnown: 6,
  /** [producer] Blocks that need-sets, zero map and digests have room for. */
  blockCapacity: 7,
  /** [producer] Power of two. */
  slotCount: 8,
  /** [producer] DeviceAccess as AccessKind. */
  access: 9,
  /** [producer] Sequence after the last published block. */
  head: 10,
  /**
   * [producer] Oldest sequence whose slot the producer has not claimed for overwriting. Written before the consumers
   * are looked at.
   */
  tail: 11,
  /**
   * [consumer] Consumers sleeping on `news`; stays too high when one dies asleep, which costs a system call and no
   * more.
   */
  headWaiters: 12,
  /**
   * [consumer] Rung whenever a consumer moves, joins, leaves or changes its need-set. Futex: the producer waits here.
   */
  bell: 13,
  /** [producer] 1 while the producer sleeps, or is about to, on `bell`. */
  bellWaiter: 14,
  /** [consumer] Changes when somebody's need-set gained bits or a consumer joined. */
  needRevision: 15,
  /**
   * [creator] Consumers that the first invocation will bring; the producer waits for so many arrivals before it reads.
   */
  quorum: 16,
  /** [consumer] Arrivals so far: registered or given up. */
  arrivals: 17,
  /** [producer] Number of starts of a producer on this ring. */
  producerEpoch: 18,
  /** [producer] Process id, for people only; never used to identify. */
  producerPid: 19,
  /** [producer] Block that is read next. */
  position: 20,
  /** [producer] Passes begun over the source. */
  sweeps: 21,
  /** [producer] 1 once the source was seen to change: every copy that is not complete fails. */
  sourceChanged: 22,
  /** [producer] Entries in the table of unreadable ranges. */
  badRangeCount: 23,
  /** [producer] Bytes of the failure text at Text.failure, and of the others. */
  failureLength: 24,
  sourceUriLength: 25,
  sourceIdentityLength: 26,
  fingerprintLength: 27,
  /**
   * [producer, before `ready`] Of a source that has no path to look at: what it shows, for those who have to be asked.
   */
  contentsLength: 28,
  /** [producer, before the last block] What was ignored in the source, one line each. */
  warningsLength: 29,
  /**
   * [producer, before the last block] Hexadecimal SHA-256 of the stored bytes, where somebody expects a digest and only
   * the producer sees them.
   */
  storedDigestLength: 30,
  /** [producer, before `ready`] 1: `sizeKnown` was 1 from the start. */
  sizeGiven: 31,
  /** [producer, before `ready`] Check of all that does not change from then on (Ring.seal). */
  seal: 32,
  /** [producer, before `sizeKnown`] Check of the size. */
  sizeSeal: 33,
  /** [producer, before `ready`] Check of the zero map, the identity and the fingerprint of the source. */
  describedSeal: 34,
  /**
   * [all] Grows with everything that a sleeping consumer has to look at: a block, the size, a failure, a consumer that
   * leaves. Futex: consumers wait here. (A wait for `head` alone slept through what does not move it, when that came
   * between the look and the sleep.)
   */
  news: 35,
} as const;

/** Header doubles (index into Float64Array): exact integers below 2^53. */
export const HeaderDouble = {
  /** [producer] Bytes of the image; 0 until known. */
  sourceBytes: 32,
  /** [producer] Bytes read from the source by all producers of this ring. */
  bytesRead: 33,
  /** [producer] Milliseconds since 1970 when the ring was made. */
  startedAtMs: 34,
  /**
   * [producer, before `ready`] Milliseconds since 1970 until which the first sweep waits for further copies; 0: it does
   * not.
   */
  gatherUntilMs: 35,
} as const;

/** Byte ranges of texts in the header page. */
export const Text = {
  failure: { at: 512, bytes: 1024 },
  sourceUri: { at: 1536, bytes: 1024 },
  sourceIdentity: { at: 2560, bytes: 512 },
  fingerprint: { at: 3072, bytes: 512 },
  contents: { at: 3584, bytes: 160 },
  warnings: { at: 3744, bytes: 288 },
  storedDigest: { at: 4032, bytes: 64 },
} as const;

export const HEADER_BYTES = limits.PAGE_BYTES;

export const RingState = { starting: 0, ready: 1, failed: 2, closed: 3 } as const;
export const AccessKind = { random: 0, rewind: 1, once: 2 } as const;

/** Consumer entry, words relative to its start. All [consumer, its own entry] unless said. */
export const Entry = {
  /** ConsumerState. [consumer; producer: attached -> detached, and anything -> free once the lock proves it dead] */
  state: 0,
  /** Sequence that it takes next; everything before is released. Meaningful while attached. */
  cursor: 1,
  /** Block where it started. */
  startBlock: 2,
  /** Blocks still in its need-set. */
  blocksLeft: 3,
  /** Activity for people. */
  activity: 4,
  /** Process id, for people only. */
  pid: 5,
  /** 1: never detach me (`--on-slow pace`). */
  pace: 6,
  /** Times it was detached. [producer] */
  detachments: 7,
  /** Bytes of its name. */
  nameLength: 8,
  /** Blocks that it set out to copy (its need-set at the start). */
  blocksWanted: 9,
  /** Milliseconds for which it kept the ring full while another one had nothing to do. [producer] */
  heldUpMs: 10,
} as const;
export const ENTRY_NAME_AT = 64;
export const ENTRY_BYTES = 512;
export const ENTRY_NAME_BYTES = ENTRY_BYTES - ENTRY_NAME_AT;

/**
 *            register                     last block written
 *   free ------------------> attached --------------------> free
 *                             |    ^
 *     held the ring too long  |    |  caught up, or nobody is attached
 *          [producer]         v    |
 *                            detached (reads copies of slots, holds up nobody)
 */
export const ConsumerState = { free: 0, attached: 1, detached: 2 } as const;

/** What a consumer is doing, for progress lines. */
export const Activity = {
  starting: 0,
  copying: 1,
  waiting: 2,
  verifying: 3,
  flushing: 4,
  zeroing: 5,
  /** Has no row of the table yet. */
  queued: 6,
} as const;
export const activityNames = ['starting', 'copying', 'waiting', 'verifying', 'flushing', 'zeroing', 'queued'] as const;

/** Slot entry, words relative to its start. [producer, before `head` passes the sequence] */
export const Slot = {
  sequence: 0,
  block: 1,
  /** SlotFlag bits. */
  flags: 2,
  /** Bytes of the block that are image; less than blockBytes only for the last one. */
  length: 3,
  /** Low half of the digest of the bytes, two words; zero where a part of them could not be read. */
  digest: 4,
  /** Check of all the others: what stands here was written by a producer, all of it at one time. */
  check: 6,
} as const;
export const SLOT_ENTRY_BYTES = 32;
export const SlotFlag = {
  /** The bytes are all zero. */
  zero: 1,
  /** A part could not be read; it is zeros here and listed in the unreadable ranges. */
  bad: 2,
} as const;

export const BAD_RANGE_BYTES = 16;
export const DIGEST_BYTES = 16;

/**
 * Bytes of the ring file that are locked (open-file-description locks), far above any content; equal in all versions.
 */
export const LockByte = {
  /** Held alone, for moments, by whoever creates, joins, leaves or removes the ring. */
  rendezvous: 2 ** 40,
  /** Held alone by the producer for as long as it lives: who holds it is the producer. */
  producer: 2 ** 40 + 1,
  /**
   * Shared by every copy process from before it looks at the ring until it has left: with nobody here, the ring may go.
   */
  interest: 2 ** 40 + 2,
  /** Held alone by the consumer of the entry, one byte each. */
  consumer: 2 ** 40 + 16,
} as const;

export interface Geometry {
  readonly blockBytes: number;
  /** Blocks that the tables have room for. */
  readonly blockCapacity: number;
  /** Power of two. */
  readonly slotCount: number;
}

export interface Offsets {
  readonly consumersAt: number;
  readonly badRangesAt: number;
  readonly slotsAt: number;
  readonly zeroMapAt: number;
  readonly digestsAt: number;
  readonly needSetsAt: number;
  /** Bytes of one bitmap. */
  readonly bitmapBytes: number;
  /** Between here and `dataAt` is a hole that costs no memory. */
  readonly tablesEnd: number;
  readonly dataAt: number;
  readonly totalBytes: number;
}

function pages(bytes: number): number {
  return Math.ceil(bytes / limits.PAGE_BYTES) * limits.PAGE_BYTES;
}

function hugePages(bytes: number): number {
  return Math.ceil(bytes / limits.HUGE_PAGE_BYTES) * limits.HUGE_PAGE_BYTES;
}

/** Where everything lies; a pure function of the geometry, so that every process computes the same. */
export function offsetsOf(geometry: Geometry): Offsets {
  const { blockBytes, blockCapacity, slotCount } = geometry;
  assert(blockBytes % limits.PAGE_BYTES === 0, 'slots are page-aligned');
  assert((slotCount & (slotCount - 1)) === 0 && slotCount > 0, 'slotCount is a power of two');
  const bitmapBytes = Math.ceil(blockCapacity / 64) * 8;
  const consumersAt = HEADER_BYTES;
  const badRangesAt = consumersAt + pages(limits.CONSUMERS_MAX * ENTRY_BYTES);
  const slotsAt = badRangesAt + pages(limits.BAD_RANGES_MAX * BAD_RANGE_BYTES);
  const zeroMapAt = slotsAt + pages(slotCount * SLOT_ENTRY_BYTES);
  const digestsAt = zeroMapAt + pages(bitmapBytes);
  const needSetsAt = digestsAt + pages(blockCapacity * DIGEST_BYTES);
  const tablesEnd = needSetsAt + pages(limits.CONSUMERS_MAX * bitmapBytes);
  const dataBytes = slotCount * blockBytes;
  const dataAt = dataBytes < limits.HUGE_PAGE_BYTES ? tablesEnd : hugePages(tablesEnd);
  const totalBytes = dataAt + dataBytes;
  return {
    ...{ consumersAt, badRangesAt, slotsAt, zeroMapAt, digestsAt, needSetsAt, bitmapBytes },
    ...{ tablesEnd, dataAt, totalBytes },
  };
}

/** a - b of two wrapping sequences. */
export function sequenceDelta(a: number, b: number): number {
  return (a - b) | 0;
}

assert(Object.keys(Header).length * 4 <= HeaderDouble.sourceBytes * 8, 'header words end before the doubles');
assert((HeaderDouble.gatherUntilMs + 1) * 8 <= Text.failure.at, 'doubles end before the texts');
assert(Text.storedDigest.at + Text.storedDigest.bytes <= HEADER_BYTES, 'texts end within the header page');
assert(limits.SLOTS_MAX < 2 ** 30, 'sequences of one ring lie close together');
