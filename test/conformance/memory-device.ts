// A device in memory for property tests: it keeps the contract, and within it is as awkward as its seed says. Transfers
// complete in random order and number, a buffer holds rubbish until its read is reaped, a write reaches the storage
// any time between submit and reap, a failed write leaves a part of its bytes behind, and what was not flushed does not
// survive a power cut.
import { assert, type ErrorCode, limits, type Random, seededRandom, UnderstudyError } from '../../src/base/mod.ts';
import type {
  Completion,
  Device,
  DeviceAccess,
  DeviceInfo,
  DeviceRole,
  Extent,
  Transfer,
} from '../../src/replication/device/contract.ts';

export interface MemoryFault {
  readonly kind: 'read' | 'write' | 'zero' | 'flush';
  readonly code: ErrorCode;
  /** Requests that touch this range fail; flushes always do. @default 0 */
  readonly offsetBytes?: number;
  /** @default to the end */
  readonly lengthBytes?: number;
  /** How often it happens. @default Infinity */
  readonly times?: number;
}

export interface MemoryStorageOptions {
  /** Where order, moments and random faults come from. @default 1 */
  readonly seed?: number;
  /** @default 4 */
  readonly depth?: number;
  /** @default 'random' */
  readonly access?: DeviceAccess;
  /** False for a stream whose length only its end tells. @default true */
  readonly sizeKnown?: boolean;
  /** @default 1 */
  readonly alignmentBytes?: number;
  readonly faults?: readonly MemoryFault[];
  /** Share of reads and writes, 0 to 1, that fail at random with *_FAILED. @default 0 */
  readonly faultRate?: number;
  /** False: it cannot tell extents. @default true */
  readonly extents?: boolean;
}

const RUBBISH = 0xdb;
let storages = 0;

export class MemoryStorage {
  /** What a reader sees now; tests may look at it and change it. */
  readonly bytes: Uint8Array;
  /** Bytes that were asked for in reads that succeeded. */
  bytesRead = 0;
  bytesWritten = 0;
  bytesZeroed = 0;
  flushes = 0;
  /** Devices open on it. */
  openCount = 0;
  /** What would survive a power cut. */
  readonly durable: Uint8Array;
  readonly options: MemoryStorageOptions;
  readonly random: Random;
  readonly identity: string;
  readonly #faults: { readonly fault: MemoryFault; left: number }[];

  constructor(content: Uint8Array, options: MemoryStorageOptions = {}) {
    this.bytes = content.slice();
    this.durable = content.slice();
    this.options = options;
    this.random = seededRandom(options.seed ?? 1);
    this.#faults = (options.faults ?? []).map((fault) => ({ fault, left: fault.times ?? Number.POSITIVE_INFINITY }));
    storages += 1;
    this.identity = `memory:${storages}`;
  }

  open(role: DeviceRole): MemoryDevice {
    return new MemoryDevice(this, role);
  }

  /** Throws away what was not flushed. Devices that are open see the older bytes. */
  powerCut(): void {
    this.bytes.set(this.durable);
  }

  /** The code with which a request fails, or null. */
  faultFor(kind: MemoryFault['kind'], offsetBytes: number, lengthBytes: number): ErrorCode | null {
    for (const entry of this.#faults) {
      const { fault } = entry;
      const from = fault.offsetBytes ?? 0;
      const to = from + (fault.lengthBytes ?? Number.POSITIVE_INFINITY);
      const touches = kind === 'flush' || (offsetBytes < to && offsetBytes + lengthBytes > from);
      if (fault.kind !== kind || !touches || entry.left === 0) continue;
      entry.left -= 1;
      return fault.code;
    }
    if (kind !== 'read' && kind !== 'write') return null;
    if (this.random.next() >= (this.options.faultRate ?? 0)) return null;
    return kind === 'read' ? 'SOURCE_READ_FAILED' : 'TARGET_WRITE_FAILED';
  }
}

interface Pending {
  readonly transfer: Transfer;
  readonly bytes: number;
  readonly code: ErrorCode | null;
}

export class MemoryDevice implements Device {
  readonly info: DeviceInfo;
  readonly #storage: MemoryStorage;
  readonly #role: DeviceRole;
  readonly #pending: Pending[] = [];
  /** Completed, but not yet flushed. */
  #dirty: { readonly from: number; readonly to: number }[] = [];
  #position = 0;
  #open = true;

  constructor(storage: MemoryStorage, role: DeviceRole) {
    const { options } = storage;
    this.#storage = storage;
    this.#role = role;
    storage.openCount += 1;
    this.info = {
      uri: storage.identity,
      identity: storage.identity,
      sizeBytes: options.sizeKnown === false ? null : storage.bytes.byteLength,
      access: options.access ?? 'random',
      alignmentBytes: options.alignmentBytes ?? 1,
      depth: options.depth ?? 4,
      cached: false,
    };
  }

  submit(transfer: Transfer): void {
    const { kind, tag, offsetBytes, buffer } = transfer;
    const size = this.#storage.bytes.byteLength;
    assert(this.#open, 'the device is open');
    assert(this.#pending.length < this.info.depth, 'no more transfers in flight than the depth');
    assert(!this.#pending.some((pending) => pending.transfer.tag === tag), 'tags in flight are unique');
    assert(Number.isInteger(tag) && tag >= 0 && tag < 2 ** 31, 'a tag in range');
    assert(kind === 'read' || this.#role === 'target', 'sources are never written');
    this.#assertAligned(offsetBytes, buffer.byteLength);
    const bytes = Math.max(0, Math.min(buffer.byteLength, size - offsetBytes));
    const code = this.#codeFor(transfer, bytes);
    if (kind === 'read') buffer.fill(RUBBISH);
    const pending = { transfer, bytes, code };
    this.#pending.push(pending);
    if (kind === 'write' && this.#storage.random.next() < 0.5) this.#apply(pending);
  }

  reap(timeoutMs: number): readonly Completion[] {
    assert(this.#open, 'the device is open');
    const { random } = this.#storage;
    if (this.#pending.length === 0) return [];
    // Without any time the answer may not be there yet.
    const least = timeoutMs > 0 ? 1 : 0;
    const count = least + random.below(this.#pending.length + 1 - least);
    const out: Completion[] = [];
    for (let index = 0; index < count; index++) {
      const [pending] = this.#pending.splice(random.below(this.#pending.length), 1);
      if (pending !== undefined) out.push(this.#complete(pending));
    }
    return out;
  }

  zero(offsetBytes: number, lengthBytes: number): void {
    assert(this.#open && this.#pending.length === 0, 'the device is open and nothing is in flight');
    assert(offsetBytes + lengthBytes <= this.#storage.bytes.byteLength, 'the range lies within the device');
    this.#assertAligned(offsetBytes, lengthBytes);
    const code = this.#storage.faultFor('zero', offsetBytes, lengthBytes);
    if (code !== null) throw this.#error(code, 'zero', offsetBytes);
    this.#storage.bytes.fill(0, offsetBytes, offsetBytes + lengthBytes);
    this.#storage.bytesZeroed += lengthBytes;
    this.#dirty.push({ from: offsetBytes, to: offsetBytes + lengthBytes });
  }

  flush(): void {
    assert(this.#open, 'the device is open');
    const code = this.#storage.faultFor('flush', 0, 0);
    if (code !== null) throw this.#error(code, 'flush', 0);
    for (const { from, to } of this.#dirty) this.#storage.durable.set(this.#storage.bytes.subarray(from, to), from);
    this.#dirty = [];
    this.#storage.flushes += 1;
  }

  extents(offsetBytes: number, lengthBytes: number): readonly Extent[] | null {
    assert(this.#open, 'the device is open');
    if (this.#storage.options.extents === false) return null;
    const out: Extent[] = [];
    const end = offsetBytes + lengthBytes;
    for (let at = offsetBytes; at < end; ) {
      const to = Math.min(end, at - (at % limits.PAGE_BYTES) + limits.PAGE_BYTES);
      const zero = this.#storage.bytes.subarray(at, to).every((byte) => byte === 0);
      const last = out.at(-1);
      if (last?.zero === zero) out[out.length - 1] = { ...last, lengthBytes: last.lengthBytes + to - at };
      else out.push({ offsetBytes: at, lengthBytes: to - at, zero });
      at = to;
    }
    return out;
  }

  fingerprint(): string {
    return `${this.#storage.identity}:${this.#storage.bytes.byteLength}`;
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#pending.length = 0;
    this.#storage.openCount -= 1;
  }

  #codeFor({ kind, offsetBytes, buffer }: Transfer, bytes: number): ErrorCode | null {
    if (kind === 'write' && bytes < buffer.byteLength) return 'TARGET_TOO_SMALL';
    if (this.info.access !== 'random') {
      if (offsetBytes < this.#position && this.info.access === 'once') return 'SOURCE_NOT_REWINDABLE';
      this.#position = offsetBytes + bytes;
    }
    return this.#storage.faultFor(kind, offsetBytes, buffer.byteLength);
  }

  #complete(pending: Pending): Completion {
    const { transfer, bytes, code } = pending;
    const { kind, tag, offsetBytes, buffer } = transfer;
    this.#apply(pending);
    if (code !== null) return { tag, bytes: 0, error: this.#error(code, kind, offsetBytes) };
    if (kind === 'write') {
      this.#storage.bytesWritten += bytes;
      this.#dirty.push({ from: offsetBytes, to: offsetBytes + bytes });
    } else {
      buffer.set(this.#storage.bytes.subarray(offsetBytes, offsetBytes + bytes));
      this.#storage.bytesRead += bytes;
    }
    return { tag, bytes, error: null };
  }

  /** Moves a write's bytes to the storage, once or twice with the same effect; of a failing one the first half. */
  #apply({ transfer, bytes, code }: Pending): void {
    if (transfer.kind !== 'write') return;
    const moved = code === null ? bytes : Math.floor(bytes / 2);
    this.#storage.bytes.set(transfer.buffer.subarray(0, moved), transfer.offsetBytes);
  }

  #assertAligned(offsetBytes: number, lengthBytes: number): void {
    const { alignmentBytes } = this.info;
    const end = offsetBytes + lengthBytes;
    assert(offsetBytes % alignmentBytes === 0, 'an aligned offset');
    assert(end % alignmentBytes === 0 || end === this.#storage.bytes.byteLength, 'an aligned length');
  }

  #error(code: ErrorCode, action: string, offsetBytes: number): UnderstudyError {
    return new UnderstudyError(code, `${action} ${this.info.uri} at ${offsetBytes}: injected`);
  }
}
