// What the main thread of a copy tells the worker thread of one target, and hears from it.
import type { ErrorCode } from '../../base/mod.ts';
import type { GptPolicy } from '../gpt/mod.ts';
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
  /** Hexadecimal SHA-256 that the image, or the file that it is stored in, must have; implies `digest`. */
  readonly expect: string | null;
  /** What the main thread finds out of the stored file (StoredDigest); null where image and file are the same or nobody can tell. */
  readonly stored: SharedArrayBuffer | null;
  /** Block devices: what becomes of a GPT whose disk is larger than its image. */
  readonly gpt: GptPolicy;
}

/** What the partition table of a disk differs in from its image's. */
export interface GptReport {
  /**
   * `moved`: its backup lies at the end of the disk. `kept`: it stays as the image has it, and does not fit the disk.
   * `cleared`: the image has no GPT; the backup of an older one, at the end of the disk, is gone.
   */
  readonly action: 'moved' | 'kept' | 'cleared';
  /** A clause for people, or null. */
  readonly note: string | null;
  /** Bytes of the target that are not the image's. */
  readonly ranges: readonly { readonly offsetBytes: number; readonly lengthBytes: number }[];
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
  /** Null where the image has no GPT, or the target has exactly its size, or is not a block device. */
  readonly gpt: GptReport | null;
  /**
   * Block devices: `read` when the kernel has read the new partition table, `in-use` when it keeps the old one because
   * one of its partitions is in use. Null where it reads none, and for other targets.
   */
  readonly kernelPartitions: 'read' | 'in-use' | null;
  /** What else is to be known, for people: why a resumed copy began at the start, what could not be kept or recorded. */
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
    gpt: null,
    kernelPartitions: null,
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
