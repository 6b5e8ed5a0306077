// What the engine asks of anything that it reads from or writes to. One contract, one conformance suite
// (test/conformance/device.ts), one file per driver.
//
// Every call blocks the calling thread, so devices are used in worker threads only; several transfers may be in flight.
import type { ErrorCode, UnderstudyError } from '../../base/mod.ts';

/** Which error codes a device speaks: the same failure is a SOURCE_ or a TARGET_ one. */
export type DeviceRole = 'source' | 'target';

/** `random`: any offset at any time. `rewind`: in order, from the start again at a price. `once`: in order, one time. */
export type DeviceAccess = 'random' | 'rewind' | 'once';

export interface DeviceInfo {
  /** As the user named it. */
  readonly uri: string;
  /** Equal for two names of the same storage: "file:DEV:INODE", "block:MAJOR:MINOR", or a canonical URI. */
  readonly identity: string;
  /** Bytes, or null for a stream whose length only its end tells. */
  readonly sizeBytes: number | null;
  readonly access: DeviceAccess;
  /** Offsets and lengths of transfers must be multiples of this, except the end of the device; 1 when anything goes. */
  readonly alignmentBytes: number;
  /** Transfers that may be in flight, at least 1. */
  readonly depth: number;
  /** Transfers go through the page cache: what it holds comes at the speed of memory, and it reads ahead by itself. */
  readonly cached: boolean;
}

export interface Transfer {
  readonly kind: 'read' | 'write';
  /** Given back with the completion; 0 to 2^31-1, unique among those in flight. */
  readonly tag: number;
  readonly offsetBytes: number;
  /** A view of mapped memory (linux/mapping.ts), the device's until the completion is reaped. */
  readonly buffer: Uint8Array;
}

export interface Completion {
  readonly tag: number;
  /** Bytes moved. A write moves all or fails. A read moves fewer only where the device ends. */
  readonly bytes: number;
  readonly error: UnderstudyError | null;
}

export interface Extent {
  readonly offsetBytes: number;
  readonly lengthBytes: number;
  /** True when the range certainly reads as zeros. */
  readonly zero: boolean;
}

export interface Device {
  readonly info: DeviceInfo;

  /**
   * Starts a transfer; never blocks longer than the transfer itself would. The caller keeps at most `info.depth` in flight.
   * Streams (access other than random): reads come in ascending order; an offset before the last one rewinds.
   * @throws TARGET_FLUSH_FAILED where a read of a target must first write what is cached of it, and cannot
   */
  submit(transfer: Transfer): void;

  /**
   * Completions in any order: at least one, unless nothing is in flight or `timeoutMs` is over (then none). A transfer
   * that a device gives up (limits.IO_TIMEOUT_MS) completes with a TIMEOUT error. A device with nobody to work for it does
   * transfers here, or in submit, and `timeoutMs` does not end those.
   */
  reap(timeoutMs: number): readonly Completion[];

  /** Makes a range read as zeros, by the cheapest way that really does. Nothing may be in flight. @throws as a write */
  zero(offsetBytes: number, lengthBytes: number): void;

  /**
   * Returns when all completed writes and zeroed ranges would survive a power cut. One that failed fails ever after: systems tell of a lost
   * write once (fsync(2), EIO), and who asks again would hear that all is well. @throws TARGET_FLUSH_FAILED and others
   */
  flush(): void;

  /**
   * Extents that cover the range without gaps, in order; `zero: false` where nothing is known. Costs metadata reads only.
   * Null when the device cannot tell.
   */
  extents(offsetBytes: number, lengthBytes: number): readonly Extent[] | null;

  /** Changes when the content may have changed: size and times of a file; '' when nothing cheap can tell. */
  fingerprint(): string;

  /** Releases everything. Idempotent. After a failed transfer it must still be possible. */
  close(): void;
}

/** The code of a kind of failure in the role of the device. */
export function deviceCode(
  role: DeviceRole,
  failure: 'UNAVAILABLE' | 'TIMEOUT' | 'KIND' | 'NOT_FOUND' | 'PERMISSION' | 'IO',
): ErrorCode {
  if (role === 'source') {
    if (failure === 'IO') return 'SOURCE_READ_FAILED';
    if (failure === 'PERMISSION') return 'SOURCE_UNREADABLE';
    return `SOURCE_${failure}`;
  }
  return failure === 'IO' ? 'TARGET_WRITE_FAILED' : `TARGET_${failure}`;
}
