// A source that only flows: standard input, or the output of a decompressor. In order; from the start again where the
// program can be run again.
//
// What must hold: a short image is never taken for a whole one. The end of the pipe counts as the end of the image only
// when the program behind it ended well, and where the size was promised, only at that size; so the last transfer is
// not
// complete before both are known.
import {
  assert,
  type ErrorCode,
  errnoOf,
  limits,
  messageOf,
  present,
  systemClock,
  UnderstudyError,
} from '../../base/mod.ts';
import { allocatePages, type Mapping, readPipe, waitReadable } from '../../linux/mod.ts';
import type { Completion, Device, DeviceInfo, Extent, Transfer } from './contract.ts';
import { fileFingerprint } from './file.ts';
import { errorOf } from './read-exchange.ts';
import { STREAM_STATE, StreamControl } from './stream-control.ts';

export interface StreamDeviceOptions {
  readonly uri: string;
  readonly identity: string;
  /** Promised by the container, and held to; null when only the end tells. */
  readonly sizeBytes: number | null;
  /**
   * What was read of the image and a descriptor that gives the rest (access `once`), or what starts programs that do.
   */
  readonly from:
    | { readonly fd: number; readonly first: Uint8Array }
    | { readonly control: SharedArrayBuffer; readonly rewindable: boolean };
  /** Open descriptor of the file that the image comes from, the opener's; null when there is none. */
  readonly fingerprintFd: number | null;
  /** Where no file is open: what tells one content from another, or ''. @default '' */
  readonly fingerprint?: string;
  /** Asked about the last 512 bytes once they are known to be the last; an error makes the last transfer fail. */
  readonly judgeEnd?: ((last: Uint8Array) => UnderstudyError | null) | null;
}

const SECTOR_BYTES = 512;

/** What may be gone with the next try; all else is the source itself. */
const PASSING: readonly ErrorCode[] = ['SOURCE_READ_FAILED', 'SOURCE_UNAVAILABLE', 'SOURCE_TIMEOUT'];

/** Room for bytes that nobody needs, on the way to those that somebody does. */
const SCRATCH_BYTES = limits.MIB;

type Phase = 'starting' | 'reading' | 'ending' | 'ended';

class StreamDevice implements Device {
  readonly info: DeviceInfo;
  readonly #options: StreamDeviceOptions;
  readonly #control: StreamControl | null;
  readonly #rewindable: boolean;
  #phase: Phase;
  #generation = 0;
  #fd: number;
  /** Offset in the image of the next byte that the pipe will give. */
  #position = 0;
  /** Why nothing more comes through this pipe. */
  #failure: UnderstudyError | null = null;
  #transfer: Transfer | null = null;
  /** Why the transfer in flight alone cannot be done. */
  #refusal: UnderstudyError | null = null;
  #filledBytes = 0;
  /** The bytes right before `#position` that a failed transfer had already got: a retry finds them here. */
  #kept: Uint8Array = new Uint8Array(0);
  #silentUntilMs = 0;
  #stirs = 0;
  #scratch: Mapping | null = null;

  constructor(options: StreamDeviceOptions) {
    this.#options = options;
    const { from } = options;
    this.#control = 'control' in from ? new StreamControl(from.control) : null;
    this.#rewindable = 'control' in from && from.rewindable;
    this.#phase = 'control' in from ? 'starting' : 'reading';
    this.#fd = 'fd' in from ? from.fd : -1;
    if ('fd' in from) this.#begin(from.first);
    this.info = {
      uri: options.uri,
      identity: options.identity,
      sizeBytes: options.sizeBytes,
      access: this.#rewindable ? 'rewind' : 'once',
      alignmentBytes: 1,
      depth: 1,
      cached: false,
    };
  }

  /** What was taken from the front already counts as read, and is kept. */
  #begin(first: Uint8Array): void {
    this.#position = first.byteLength;
    this.#kept = first;
  }

  submit(transfer: Transfer): void {
    assert(transfer.kind === 'read', 'streams are read only');
    assert(this.#transfer === null, 'no more transfers than the depth');
    assert(transfer.buffer.byteLength > 0, 'a transfer of at least one byte');
    this.#transfer = transfer;
    this.#refusal = null;
    this.#filledBytes = this.#copyKept(transfer);
    this.#silentUntilMs = systemClock.nowMs() + limits.IO_TIMEOUT_MS;
    if (this.#filledBytes === transfer.buffer.byteLength) return;
    const gone = transfer.offsetBytes < this.#position && this.#filledBytes === 0;
    // A damaged image is as damaged the second time; a killed program is worth another try.
    const retry = this.#rewindable && this.#failure !== null && PASSING.includes(this.#failure.code);
    if ((gone && this.#rewindable) || retry) this.#restart();
    else if (gone) {
      const message = `${this.info.uri} can be read only once: byte ${transfer.offsetBytes} has gone by`;
      this.#refusal = new UnderstudyError('SOURCE_NOT_REWINDABLE', message);
    }
  }

  #copyKept(transfer: Transfer): number {
    const skip = transfer.offsetBytes - (this.#position - this.#kept.byteLength);
    if (skip < 0 || skip >= this.#kept.byteLength) return 0;
    const bytes = this.#kept.subarray(skip, skip + transfer.buffer.byteLength);
    transfer.buffer.set(bytes);
    return bytes.byteLength;
  }

  #restart(): void {
    this.#generation = present(this.#control, 'what restarts the stream').requestRestart();
    this.#phase = 'starting';
    this.#position = 0;
    this.#filledBytes = 0;
    this.#kept = new Uint8Array(0);
    this.#failure = null;
  }

  reap(timeoutMs: number): readonly Completion[] {
    const transfer = this.#transfer;
    if (transfer === null) return [];
    const deadlineMs = systemClock.nowMs() + timeoutMs;
    for (;;) {
      const completion = this.#completionOf(transfer);
      if (completion !== null) {
        this.#transfer = null;
        return [completion];
      }
      const leftMs = Math.min(deadlineMs, this.#silentUntilMs) - systemClock.nowMs();
      const moved = this.#step(transfer, Math.max(0, Math.ceil(leftMs)));
      const nowMs = systemClock.nowMs();
      if (moved || this.#stirred()) this.#silentUntilMs = nowMs + limits.IO_TIMEOUT_MS;
      else if (nowMs >= this.#silentUntilMs) {
        this.#transfer = null;
        const message = `${this.info.uri} gave nothing for ${limits.IO_TIMEOUT_MS / 1000} seconds`;
        return [this.#failed(transfer, new UnderstudyError('SOURCE_TIMEOUT', message))];
      }
      // What moved last may have been all that was missing: that is looked at even when the time is over.
      if (!moved && nowMs >= deadlineMs) return [];
      if (nowMs >= deadlineMs && this.#completionOf(transfer) === null) return [];
    }
  }

  /** Whether the main thread was at work meanwhile: a server is asked again, what was there already is passed over. */
  #stirred(): boolean {
    const before = this.#stirs;
    this.#stirs = this.#control?.stirs ?? 0;
    return this.#stirs !== before;
  }

  /** The transfer's result, or null when more has to come through the pipe first. */
  #completionOf(transfer: Transfer): Completion | null {
    if (this.#refusal !== null) return { tag: transfer.tag, bytes: 0, error: this.#refusal };
    const { byteLength } = transfer.buffer;
    const done = { tag: transfer.tag, bytes: this.#filledBytes, error: null };
    const full = this.#filledBytes === byteLength;
    // Out of what was kept, with more behind it: the stream itself is not asked.
    if (full && transfer.offsetBytes + byteLength < this.#position) return done;
    if (this.#failure !== null) return this.#failed(transfer, this.#failure);
    const { sizeBytes } = this.info;
    if (this.#phase !== 'ended') return full && this.#position !== sizeBytes ? done : null;
    if (sizeBytes === null || sizeBytes === this.#position) {
      this.#failure = this.#judgeEnd(transfer);
      return this.#failure === null ? done : this.#failed(transfer, this.#failure);
    }
    this.#failure = this.#corrupt(`holds ${this.#position} bytes, and promises ${sizeBytes}`);
    return this.#failed(transfer, this.#failure);
  }

  /** Blocks begin at multiples of a sector, so the last sector of a disk image lies in one of them. */
  #judgeEnd({ buffer }: Transfer): UnderstudyError | null {
    if (this.#filledBytes < SECTOR_BYTES) return null;
    return this.#options.judgeEnd?.(buffer.subarray(this.#filledBytes - SECTOR_BYTES, this.#filledBytes)) ?? null;
  }

  #failed(transfer: Transfer, error: UnderstudyError): Completion {
    // Only bytes that end where the pipe stands: those that came out of what was kept are still kept.
    if (this.#filledBytes > 0 && transfer.offsetBytes + this.#filledBytes === this.#position) {
      this.#kept = transfer.buffer.slice(0, this.#filledBytes);
    }
    return { tag: transfer.tag, bytes: 0, error };
  }

  #corrupt(what: string): UnderstudyError {
    return new UnderstudyError('SOURCE_CORRUPT', `${this.info.uri} ${what}`);
  }

  /** Waits for the next event of the phase, and takes it in; false when the time is over first. */
  #step(transfer: Transfer, timeoutMs: number): boolean {
    if (this.#phase === 'starting') return this.#stepStarting(transfer, timeoutMs);
    if (this.#phase === 'reading') return this.#stepReading(transfer, timeoutMs);
    return this.#stepEnding(timeoutMs);
  }

  #stepStarting(transfer: Transfer, timeoutMs: number): boolean {
    const start = present(this.#control, 'what starts the stream').waitStart(this.#generation, timeoutMs);
    if (start === null) return false;
    this.#fd = start.fd;
    this.#begin(start.first);
    this.#filledBytes = this.#copyKept(transfer);
    this.#phase = start.fd < 0 ? 'ending' : 'reading';
    return true;
  }

  #stepReading(transfer: Transfer, timeoutMs: number): boolean {
    if (!waitReadable(this.#fd, timeoutMs)) return false;
    const skip = transfer.offsetBytes - this.#position;
    const rest = transfer.buffer.subarray(this.#filledBytes);
    const room = skip > 0 ? this.#scratchOf(skip) : rest.byteLength > 0 ? rest : this.#scratchOf(1);
    const count = this.#read(room);
    if (count === null) return false;
    if (count === 0) this.#phase = this.#control === null ? 'ended' : 'ending';
    else if (skip <= 0 && rest.byteLength === 0) {
      // The one byte after the end that the size promised.
      this.#failure = this.#corrupt(`goes on after the ${this.info.sizeBytes} bytes that it promises`);
    } else {
      this.#position += count;
      this.#kept = new Uint8Array(0);
      if (skip <= 0) this.#filledBytes += count;
    }
    return true;
  }

  #scratchOf(wantedBytes: number): Uint8Array {
    this.#scratch ??= allocatePages(SCRATCH_BYTES);
    return new Uint8Array(this.#scratch.buffer, 0, Math.min(wantedBytes, SCRATCH_BYTES));
  }

  /** Bytes read, 0 at the end; null when another holder of a non-blocking descriptor was quicker. */
  #read(room: Uint8Array): number | null {
    try {
      return readPipe(this.#fd, room);
    } catch (cause) {
      if (errnoOf(cause) === 'EAGAIN') return null;
      const message = `read ${this.info.uri} at byte ${this.#position}: ${messageOf(cause)}`;
      this.#failure = new UnderstudyError('SOURCE_READ_FAILED', message, { cause });
      return null;
    }
  }

  #stepEnding(timeoutMs: number): boolean {
    const end = present(this.#control, 'what runs the stream').waitEnd(timeoutMs);
    if (end === null) return false;
    if (end.state === STREAM_STATE.ended) this.#phase = 'ended';
    else this.#failure = errorOf(end.message);
    return true;
  }

  zero(): void {
    assert(false, 'streams are read only');
  }

  flush(): void {
    assert(false, 'streams are read only');
  }

  extents(): readonly Extent[] | null {
    return null;
  }

  fingerprint(): string {
    const { fingerprintFd, fingerprint } = this.#options;
    return fingerprintFd === null ? (fingerprint ?? '') : fileFingerprint(fingerprintFd);
  }

  close(): void {
    this.#control?.requestClose();
    this.#scratch?.unmap();
    this.#scratch = null;
    this.#transfer = null;
  }
}

/**
 * A device for reading in order, one transfer at a time. Descriptors belong to whoever opened them and stay open.
 * Completions carry SOURCE_CORRUPT (damaged, cut off, not of the size promised), SOURCE_READ_FAILED (the program was
 * killed, the pipe failed), SOURCE_TIMEOUT or SOURCE_NOT_REWINDABLE.
 */
export function openStreamDevice(options: StreamDeviceOptions): Device {
  return new StreamDevice(options);
}
