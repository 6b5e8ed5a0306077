// Every limit of the copy engine, with its reason; the relations between them are asserted at the end.
import { assert } from './assert.ts';

export const KIB = 1024;
export const MIB = 1024 * KIB;
export const GIB = 1024 * MIB;

/** Page size of the machines supported (x86-64, arm64 with 4 KiB pages); also the strictest O_DIRECT alignment seen. */
export const PAGE_BYTES = 4096;

/** A huge page on the machines supported; the kernel moves data to and from one as one connected piece. */
export const HUGE_PAGE_BYTES = 2 * MIB;
/** Longest time at a start that goes into getting huge pages for the ring; the others follow while it is read. */
export const HUGE_PAGES_MS_MAX = 30;

/** Blocks are 4 MiB by default: large enough that one at a time keeps a disk's queue full, small enough to share a ring. */
export const BLOCK_BYTES_DEFAULT = 4 * MIB;
export const BLOCK_BYTES_MIN = 64 * KIB;
/** NBD servers accept at least 32 MiB in one request (NBD protocol, "Size constraints"); we split below that anyway. */
export const BLOCK_BYTES_MAX = 32 * MIB;

/** The ring is 128 MiB by default, so that a joiner finds the last few hundred milliseconds of a fast source in memory. */
export const RING_BYTES_DEFAULT = 128 * MIB;
/**
 * Where blocks come out of the page cache, joiners find all of them in memory anyway, and a ring this small stays in the processor's
 * cache (docs/decisions/0058).
 */
export const RING_BYTES_CACHED = 32 * MIB;
/** Below four slots, reading ahead and writing behind cannot overlap. */
export const SLOTS_MIN = 4;
export const SLOTS_MAX = 4096;

/** Consumers of one ring; one OFD lock byte and one need-set each. */
export const CONSUMERS_MAX = 64;

/** A ring numbers its blocks in 32 bits with room to spare; 2^22 blocks of 4 MiB are 16 TiB, of 32 MiB 128 TiB. */
export const BLOCKS_MAX = 2 ** 22;
/** Blocks reserved for a stream whose length nobody knows: 2^18 of 4 MiB are 1 TiB. */
export const BLOCKS_MAX_UNKNOWN = 2 ** 18;

/** Reads that the producer keeps in flight, and writes per consumer. */
export const READS_IN_FLIGHT = 4;
export const WRITES_IN_FLIGHT = 2;

/**
 * So far at most does the producer go ahead of the fastest consumer where blocks come out of the page cache: so what it wrote into
 * the ring is still in the processor's cache when it is taken (docs/decisions/0057). What is ahead of that, the page cache holds.
 */
export const CACHED_AHEAD_BYTES = 8 * MIB;

/** Every futex wait is bounded, so that a wake-up lost with a dead process costs this much and no more. */
export const WAIT_MS_MAX = 250;
/** How often locks are asked who is alive. */
export const LIVENESS_INTERVAL_MS = 500;

/** Time that a consumer may hold a full ring, while others starve, before it is detached. */
export const SLOW_BUDGET_MS = 250;
/** Share of the unheld time by which that account recovers: a consumer at more than 80 % of the others' speed stays. */
export const SLOW_RECOVERY = 0.25;

/** Server or device silence after which a request is given up. */
export const IO_TIMEOUT_MS = 30_000;
/** Tries after the first of a request to an HTTP server that brings nothing more; waits double from the first to the last. */
export const HTTP_RETRIES_MAX = 5;
export const HTTP_RETRY_DELAY_MS = 200;
export const HTTP_RETRY_DELAY_MS_MAX = 5000;
/** A server that asks for a longer pause (Retry-After) is told of as unavailable. */
export const HTTP_RETRY_AFTER_MS_MAX = 60_000;
export const HTTP_REDIRECTS_MAX = 10;
/** Bytes of an HTTP source that the first request asks for: partition tables and signatures of formats lie in them. */
export const HTTP_HEAD_BYTES = MIB;
/** Bytes of one range request; READS_IN_FLIGHT of them are on their way at once. */
export const HTTP_PIECE_BYTES = 4 * MIB;
/** Tries of a failing source read, with the waits between them. */
export const READ_RETRY_DELAYS_MS = [50, 200, 1000] as const;
/** Granularity with which an unreadable block is searched for readable parts. */
export const READ_SALVAGE_BYTES = 64 * KIB;
/** Unreadable ranges that a ring can report; more are merged into the last. */
export const BAD_RANGES_MAX = 1024;

/** Times that a block is written again because the target did not give it back, ... */
export const REWRITES_MAX = 2;
/** ... and blocks of one target with which that is tried: a medium that loses more is broken, or smaller than it says. */
export const BAD_BLOCKS_MAX = 64;

/** A consumer makes what it wrote durable this often, so that a resume loses at most so much. */
export const FLUSH_INTERVAL_MS = 4000;

assert(BLOCK_BYTES_MIN % PAGE_BYTES === 0, 'blocks are whole pages');
assert(SLOTS_MIN * BLOCK_BYTES_DEFAULT <= RING_BYTES_CACHED, 'the default ring holds the least number of slots');
assert(
  2 * CACHED_AHEAD_BYTES <= RING_BYTES_CACHED,
  'the slower targets have more of the ring to fall behind in than is read ahead',
);
assert(READS_IN_FLIGHT <= SLOTS_MIN, 'the smallest ring can hold all reads in flight');
assert(WAIT_MS_MAX <= LIVENESS_INTERVAL_MS, 'a waiter wakes at least as often as it asks who is alive');
assert(READ_SALVAGE_BYTES <= BLOCK_BYTES_MIN, 'salvage is finer than the smallest block');
