// What the main thread of a copy tells the worker thread of one target, and hears from it.
import type { ErrorCode } from '../../base/mod.ts';
import type { IdentifiedSource } from '../source/mod.ts';
import type { TargetSpec } from '../target/mod.ts';

/** Which bytes are wanted: `skip` lists ranges below `endBytes` that need not be read and are zeros on the target. */
export interface Extent {
  /** Null: all there is. */
  readonly endBytes: number | null;
  readonly skip: readonly { readonly offsetBytes: number; readonly lengthBytes: number }[];
}

export interface ConsumerTask {
  readonly source: IdentifiedSource;
  readonly target: TargetSpec;
  readonly extent: Extent;
  readonly join: 'oldest' | 'newest';
  readonly pace: boolean;
  readonly onReadError: 'fail' | 'zero';
  readonly verify: boolean;
  readonly resume: boolean;
  /** Whether records are kept with which an interrupted copy can be gone on with. */
  readonly resumable: boolean;
  /** Bytes a second, or null. */
  readonly limitRate: number | null;
  /** SHA-256 of the whole image. */
  readonly digest: boolean;
  /** Hexadecimal SHA-256 that the image must have; implies `digest`. */
  readonly expect: string | null;
}

export interface TargetResult {
  readonly uri: string;
  readonly ok: boolean;
  /** Block that was copied first; -1 when none was. */
  readonly startBlock: number;
  readonly bytesCopied: number;
  readonly bytesZeroed: number;
  readonly bytesReused: number;
  readonly seconds: number;
  /** True only when every byte was read back and compared. */
  readonly verified: boolean;
  /** "sha256:..." of the image, or null when not asked for. */
  readonly digest: string | null;
  /** Ranges that could not be read and are zeros (`onReadError: zero`). */
  readonly unreadable: readonly { readonly offsetBytes: number; readonly lengthBytes: number }[];
  /** Whether `resume` can go on from here. */
  readonly resumable: boolean;
  /** What else is to be known, for people: why a resumed copy began at the start, what could not be kept. */
  readonly notes: readonly string[];
  readonly error: null | { readonly code: ErrorCode | 'INTERNAL'; readonly message: string };
}

/** A result of a target that nothing was written to. */
export function emptyResult(uri: string): TargetResult {
  return {
    uri,
    ok: false,
    startBlock: -1,
    bytesCopied: 0,
    bytesZeroed: 0,
    bytesReused: 0,
    seconds: 0,
    verified: false,
    digest: null,
    unreadable: [],
    resumable: false,
    notes: [],
    error: null,
  };
}

/** Words of the small shared array between a copy's main thread and the worker of a target. */
export const Control = {
  /** [main] 1: stop as soon as possible and keep the work. */
  abort: 0,
  /** [worker] Index of its row in the ring's consumer table, plus one; 0 before it has one. */
  entry: 1,
  /** [worker] Blocks verified. */
  verified: 2,
  /** [worker] Blocks wanted in all, for progress. */
  wanted: 3,
  /** [worker] Activity before and after it has a row in the ring. */
  activity: 4,
  /** [worker] 1 when the result is posted or about to be. */
  finished: 5,
  words: 8,
} as const;
