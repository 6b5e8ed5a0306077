// A device whose transfers take simulated time. What overlaps with a transfer shows: half of the bytes move when it is
// submitted, the other half when its completion is reaped, so a buffer that is touched in between is torn for all to see.
//
// The device of the conformance tests (test/conformance/memory-device.ts) has no clock; here who is fast and who is slow is
// the question.
import { assert, type ErrorCode, type Random, UnderstudyError } from '../../src/base/mod.ts';
import type {
  Completion,
  Device,
  DeviceAccess,
  DeviceInfo,
  Extent,
  Transfer,
} from '../../src/replication/device/contract.ts';

export interface Fault {
  readonly code: ErrorCode;
  readonly offsetBytes: number;
  readonly lengthBytes: number;
  /** Requests that it hits; Infinity for good. */
  readonly times: number;
}

/** Simulated time, moved by the scheduler, and by whoever blocks its thread. */
export class SimulatedClock {
  #nowMs = 1000;

  nowMs(): number {
    return this.#nowMs;
  }

  advanceTo(atMs: number): void {
    this.#nowMs = Math.max(this.#nowMs, atMs);
  }
}

export interface SimulatedDeviceOptions {
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly access: DeviceAccess;
  readonly sizeKnown: boolean;
  readonly depth: number;
  /** Milliseconds of one transfer; they are served one after the other. */
  readonly serviceMs: number;
  readonly clock: SimulatedClock;
  readonly random: Random;
  readonly faults: readonly Fault[];
  /** Sees every transfer before it starts. */
  readonly watch: (transfer: Transfer) => void;
}

interface Pending {
  readonly transfer: Transfer;
  readonly bytes: number;
  readonly code: ErrorCode | null;
  readonly dueMs: number;
}

const RUBBISH = 0xdb;

export class SimulatedDevice implements Device {
  readonly info: DeviceInfo;
  readonly #options: SimulatedDeviceOptions;
  readonly #faults: { readonly fault: Fault; left: number }[];
  #pending: Pending[] = [];
  #busyUntilMs = 0;
  #positionBytes = 0;

  constructor(options: SimulatedDeviceOptions) {
    this.#options = options;
    this.#faults = options.faults.map((fault) => ({ fault, left: fault.times }));
    this.info = {
      uri: options.name,
      identity: options.name,
      sizeBytes: options.sizeKnown ? options.bytes.byteLength : null,
      access: options.access,
      alignmentBytes: 1,
      depth: options.depth,
      cached: false,
    };
  }

  /** Blocks with writes on the way. */
  get inFlight(): readonly Transfer[] {
    return this.#pending.map((pending) => pending.transfer);
  }

  /** When the next completion can be reaped; Infinity with nothing in flight. */
  get nextDueMs(): number {
    return Math.min(...this.#pending.map((pending) => pending.dueMs));
  }

  submit(transfer: Transfer): void {
    const { bytes, clock, serviceMs } = this.#options;
    assert(this.#pending.length < this.info.depth, 'no more transfers in flight than the depth');
    assert(!this.#pending.some((pending) => pending.transfer.tag === transfer.tag), 'tags in flight are unique');
    assert(transfer.tag >= 0 && transfer.tag < 2 ** 31, 'a tag in range');
    this.#options.watch(transfer);
    const { offsetBytes, buffer, kind } = transfer;
    const moved = Math.max(0, Math.min(buffer.byteLength, bytes.byteLength - offsetBytes));
    const code = this.#codeOf(transfer, moved);
    this.#busyUntilMs = Math.max(this.#busyUntilMs, clock.nowMs()) + serviceMs;
    this.#pending.push({ transfer, bytes: moved, code, dueMs: this.#busyUntilMs });
    if (kind === 'read') buffer.fill(RUBBISH);
    this.#move(transfer, 0, Math.floor(moved / 2));
  }

  reap(timeoutMs: number): readonly Completion[] {
    const { clock, random } = this.#options;
    if (this.#pending.length === 0) return [];
    if (timeoutMs > 0) clock.advanceTo(Math.min(this.nextDueMs, clock.nowMs() + timeoutMs));
    const due = this.#pending.filter((pending) => pending.dueMs <= clock.nowMs());
    if (due.length === 0) return [];
    const least = timeoutMs > 0 ? 1 : 0;
    const out: Completion[] = [];
    for (let count = least + random.below(due.length + 1 - least); count > 0; count--) {
      const [pending] = due.splice(random.below(due.length), 1);
      if (pending !== undefined) out.push(this.#complete(pending));
    }
    return out;
  }

  zero(offsetBytes: number, lengthBytes: number): void {
    assert(this.#pending.length === 0, 'nothing is in flight');
    assert(offsetBytes + lengthBytes <= this.#options.bytes.byteLength, 'the range lies within the device');
    this.#options.bytes.fill(0, offsetBytes, offsetBytes + lengthBytes);
  }

  flush(): void {
    assert(this.#pending.length === 0, 'nothing is in flight');
  }

  extents(): readonly Extent[] | null {
    return null;
  }

  fingerprint(): string {
    return this.info.identity;
  }

  close(): void {
    this.#pending = [];
  }

  /** Its process is gone: what was on the way arrives or does not. */
  abandon(): void {
    for (const { transfer, bytes } of this.#pending) {
      if (this.#options.random.next() < 0.5) this.#move(transfer, 0, bytes);
    }
    this.#pending = [];
  }

  #codeOf({ kind, offsetBytes, buffer }: Transfer, moved: number): ErrorCode | null {
    if (kind === 'write' && moved < buffer.byteLength) return 'TARGET_TOO_SMALL';
    if (this.info.access !== 'random') {
      if (offsetBytes < this.#positionBytes && this.info.access === 'once') return 'SOURCE_NOT_REWINDABLE';
      this.#positionBytes = offsetBytes + moved;
    }
    for (const entry of this.#faults) {
      const { fault } = entry;
      const touches =
        offsetBytes < fault.offsetBytes + fault.lengthBytes && offsetBytes + buffer.byteLength > fault.offsetBytes;
      if (!touches || entry.left === 0) continue;
      entry.left -= 1;
      return fault.code;
    }
    return null;
  }

  #complete(pending: Pending): Completion {
    this.#pending.splice(this.#pending.indexOf(pending), 1);
    const { transfer, bytes, code } = pending;
    if (code !== null) {
      const message = `${transfer.kind} of ${this.info.uri} at ${transfer.offsetBytes}: injected`;
      return { tag: transfer.tag, bytes: 0, error: new UnderstudyError(code, message) };
    }
    this.#move(transfer, Math.floor(bytes / 2), bytes);
    return { tag: transfer.tag, bytes, error: null };
  }

  #move({ kind, offsetBytes, buffer }: Transfer, from: number, to: number): void {
    const { bytes } = this.#options;
    if (kind === 'write') bytes.set(buffer.subarray(from, to), offsetBytes + from);
    else buffer.set(bytes.subarray(offsetBytes + from, offsetBytes + to), from);
  }
}
