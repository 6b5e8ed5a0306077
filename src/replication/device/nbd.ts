// A device behind an NBD server. A transfer is split into parts, so that several requests are always under way and a server
// with small limits is respected; a transfer completes when its last part has, because its buffer is in use until then.
//
//   submit() -> queue of parts -> in flight (PARTS_IN_FLIGHT at most) -> completions -> reap()
//                    ^                  |
//                    +--- source: connection lost, asked again on a new one
//
// No reply of a dropped connection can reach a buffer: the connection is closed before its transfers are completed.
import { assert, limits, systemClock, UnderstudyError } from '../../base/mod.ts';
import { allocatePages, LibnbdError, type Mapping, type NbdExport, type NbdHandle } from '../../linux/mod.ts';
import {
  type Completion,
  type Device,
  type DeviceInfo,
  type DeviceRole,
  deviceCode,
  type Extent,
  type Transfer,
} from './contract.ts';
import { NbdLink } from './nbd-link.ts';
import {
  beyondEnd,
  ExtentList,
  isUnsupported,
  type Job,
  newJob,
  type Part,
  type RequestKind,
  type Run,
  requestError,
  SilenceClock,
} from './nbd-request.ts';
import { canonicalNbdUri } from './nbd-uri.ts';

// Measured with nbdkit (file in memory, Unix socket and TCP) and qemu-nbd, parts of 128 KiB to 2 MiB, 8 or 16 in flight: from
// 512 KiB on the server is the limit (1.2-2.2 GiB/s nbdkit, 0.8-0.9 GiB/s qemu-nbd); 1 MiB costs the least processor time
// per byte (about half of 128 KiB) before the caches are outgrown; 8 in flight were mostly slower than 16.
const PART_BYTES = limits.MIB;
const PARTS_IN_FLIGHT = 16;
const TRANSFERS_IN_FLIGHT = 8;
/** One request to zero: small enough that a server which has to write zeros answers within the time for silence. */
const ZERO_BYTES_MAX = 64 * limits.MIB;
/** One question about extents; lengths are 32 bits on the wire. */
const EXTENTS_BYTES_MAX = 2 * limits.GIB;
/** Asking for extents saves time or is given up. */
const EXTENTS_TIMEOUT_MS = 2000;
/** A flush may have to write all that the server has cached: it gets so many times the patience of other requests. */
const FLUSH_PATIENCE = 10;
const CONNECT_TIMEOUT_MS = 10_000;
const RECONNECT_TIMEOUT_MS = 10_000;
/** Connections that may be lost one after the other without one part done in between (a server that a request kills). */
const LOSSES_MAX = 4;

export interface NbdDeviceOptions {
  /** nbd://, nbds://, nbd+unix:// and so on: nbd_connect_uri(3). */
  readonly uri: string;
  readonly role: DeviceRole;
  /** Until the handshake is over. @default 10000 */
  readonly connectTimeoutMs?: number;
  /** Silence of the server after which requests are given up. @default limits.IO_TIMEOUT_MS */
  readonly ioTimeoutMs?: number;
  /** How long a lost source is waited for; 0: what is in flight fails at once. @default 10000 */
  readonly reconnectTimeoutMs?: number;
}

/**
 * Connects. Blocks for `connectTimeoutMs` at most, besides the resolver.
 * @throws USAGE, TOOL_MISSING, *_UNAVAILABLE, *_TIMEOUT, *_NOT_FOUND (no such export), TARGET_READ_ONLY
 */
export function openNbdDevice(options: NbdDeviceOptions): Device {
  const { uri, role } = options;
  const identity = canonicalNbdUri(uri);
  const link = new NbdLink({
    uri,
    role,
    connectTimeoutMs: options.connectTimeoutMs ?? CONNECT_TIMEOUT_MS,
    reconnectTimeoutMs: options.reconnectTimeoutMs ?? RECONNECT_TIMEOUT_MS,
  });
  const found = link.connect();
  if (role === 'target' && found.readOnly) {
    link.close(true);
    throw new UnderstudyError('TARGET_READ_ONLY', `${uri}: the server exports it read-only`);
  }
  const info: DeviceInfo = {
    uri,
    identity,
    sizeBytes: found.sizeBytes,
    access: 'random',
    alignmentBytes: found.blockBytesMin,
    depth: TRANSFERS_IN_FLIGHT,
    cached: false,
  };
  const mayReconnect = role === 'source' && options.reconnectTimeoutMs !== 0;
  return new NbdDevice({
    info,
    role,
    link,
    found,
    mayReconnect,
    ioTimeoutMs: options.ioTimeoutMs ?? limits.IO_TIMEOUT_MS,
  });
}

interface NbdDeviceConfig {
  readonly info: DeviceInfo;
  readonly role: DeviceRole;
  readonly link: NbdLink;
  readonly found: NbdExport;
  readonly mayReconnect: boolean;
  readonly ioTimeoutMs: number;
}

class NbdDevice implements Device {
  readonly info: DeviceInfo;
  readonly #config: NbdDeviceConfig;
  readonly #link: NbdLink;
  readonly #sizeBytes: number;
  readonly #partBytes: number;
  readonly #queue: Part[] = [];
  readonly #inFlight = new Map<number, Part>();
  #done: Completion[] = [];
  #transfers = 0;
  /** Why nothing more is done: a target whose connection was lost, whose earlier writes nobody can vouch for. */
  #over: UnderstudyError | null = null;
  #losses = 0;
  readonly #silence: SilenceClock;
  /** The server answered that it shuts down. */
  #leaving = false;
  #zeros: Mapping | null = null;
  #closed = false;

  constructor(config: NbdDeviceConfig) {
    this.#config = config;
    this.info = config.info;
    this.#link = config.link;
    this.#sizeBytes = config.found.sizeBytes;
    const { blockBytesMin, blockBytesMax } = config.found;
    const wanted = Math.min(PART_BYTES, blockBytesMax);
    this.#partBytes = Math.max(blockBytesMin, wanted - (wanted % blockBytesMin));
    this.#silence = new SilenceClock(config.ioTimeoutMs);
  }

  submit(transfer: Transfer): void {
    assert(!this.#closed, 'the device is open');
    assert(this.#transfers < this.info.depth, 'no more transfers in flight than the depth');
    this.#transfers += 1;
    const { offsetBytes, buffer, kind } = transfer;
    const room = Math.max(0, this.#sizeBytes - offsetBytes);
    const bytes = kind === 'read' ? Math.min(buffer.byteLength, room) : buffer.byteLength;
    const job = newJob(transfer, kind, bytes);
    job.error = bytes <= room ? this.#over : beyondEnd(this.info.uri, this.#sizeBytes);
    if (job.error !== null || bytes === 0) {
      this.#finish(job);
      return;
    }
    for (let at = 0; at < bytes; at += this.#partBytes) {
      const view = buffer.subarray(at, Math.min(at + this.#partBytes, bytes));
      const offset = offsetBytes + at;
      this.#enqueue(job, (handle) => (kind === 'read' ? handle.pread(view, offset) : handle.pwrite(view, offset)));
    }
    this.#issue();
  }

  reap(timeoutMs: number): readonly Completion[] {
    assert(!this.#closed, 'the device is open');
    const untilMs = systemClock.nowMs() + timeoutMs;
    for (let leftMs = timeoutMs; this.#transfers > this.#done.length; leftMs = untilMs - systemClock.nowMs()) {
      this.#advance(this.#done.length > 0 ? 0 : Math.max(0, leftMs));
      if (this.#done.length > 0 || leftMs <= 0) break;
    }
    const done = this.#done;
    this.#done = [];
    this.#transfers -= done.length;
    return done;
  }

  zero(offsetBytes: number, lengthBytes: number): void {
    assert(!this.#closed && this.#transfers === 0, 'the device is open and nothing is in flight');
    assert(offsetBytes + lengthBytes <= this.#sizeBytes, 'the range lies within the device');
    for (let at = 0; at < lengthBytes; at += ZERO_BYTES_MAX) {
      const bytes = Math.min(ZERO_BYTES_MAX, lengthBytes - at);
      const offset = offsetBytes + at;
      const { canZero } = this.#config.found;
      const failed = canZero
        ? this.#wait('zero', (handle) => handle.zero(offset, bytes))
        : this.#writeZeros(offset, bytes);
      if (failed === null) continue;
      if (!canZero || !isUnsupported(failed)) throw failed;
      const written = this.#writeZeros(offset, bytes);
      if (written !== null) throw written;
    }
  }

  flush(): void {
    assert(!this.#closed, 'the device is open');
    // Without flush in the protocol there is nothing that a client could do (NBD protocol: NBD_FLAG_SEND_FLUSH).
    if (this.#config.role === 'source' || !this.#config.found.canFlush) {
      if (this.#over !== null) throw this.#over;
      return;
    }
    // What is in flight gets no more patience than ever: a server that hangs in a write is found out before the flush.
    while (this.#inFlight.size + this.#queue.length > 0) this.#advance(limits.WAIT_MS_MAX);
    this.#silence.limitMs = this.#config.ioTimeoutMs * FLUSH_PATIENCE;
    try {
      this.#over ??= this.#wait('flush', (handle) => handle.flush());
      if (this.#over !== null) throw this.#over;
    } finally {
      this.#silence.limitMs = this.#config.ioTimeoutMs;
    }
  }

  extents(offsetBytes: number, lengthBytes: number): readonly Extent[] | null {
    assert(!this.#closed, 'the device is open');
    if (!this.#config.found.canExtents) return null;
    const list = new ExtentList(offsetBytes, lengthBytes);
    const untilMs = systemClock.nowMs() + EXTENTS_TIMEOUT_MS;
    while (list.bytesLeft > 0) {
      const before = list.bytesLeft;
      const runs = this.#askExtents(list.nextBytes, Math.min(EXTENTS_BYTES_MAX, before), untilMs);
      for (const run of runs) list.add(run);
      if (list.bytesLeft === before) list.add({ lengthBytes: before, zero: false });
    }
    return list.extents;
  }

  fingerprint(): string {
    return '';
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#link.close(this.#inFlight.size === 0);
    this.#zeros?.unmap();
  }

  /** Runs from `offset` on; none when the server fails, is silent, or time is over. */
  #askExtents(offset: number, length: number, untilMs: number): readonly Run[] {
    const runs: Run[] = [];
    if (this.#over !== null || systemClock.nowMs() >= untilMs) return runs;
    const job = newJob(null, 'extents', 0);
    this.#enqueue(job, (handle) => {
      // On a new connection the answer begins anew.
      runs.length = 0;
      return handle.blockStatus(offset, length, (lengthBytes, zero) => runs.push({ lengthBytes, zero }));
    });
    let leftMs = EXTENTS_TIMEOUT_MS;
    while (job.partsLeft > 0 && leftMs > 0) {
      this.#advance(leftMs);
      leftMs = untilMs - systemClock.nowMs();
    }
    // An answer that comes too late goes to a list that nobody reads any more.
    return job.partsLeft > 0 || job.error !== null ? [] : runs;
  }

  /** Does one request to its end and returns its failure. */
  #wait(kind: RequestKind, start: Part['start']): UnderstudyError | null {
    const job = newJob(null, kind, 0);
    this.#enqueue(job, start);
    return this.#waitFor(job);
  }

  #waitFor(job: Job): UnderstudyError | null {
    while (job.partsLeft > 0) this.#advance(limits.WAIT_MS_MAX);
    return job.error;
  }

  #writeZeros(offsetBytes: number, lengthBytes: number): UnderstudyError | null {
    this.#zeros ??= allocatePages(this.#partBytes);
    const zeros = new Uint8Array(this.#zeros.buffer);
    const job = newJob(null, 'write', lengthBytes);
    for (let at = 0; at < lengthBytes; at += this.#partBytes) {
      const view = zeros.subarray(0, Math.min(this.#partBytes, lengthBytes - at));
      this.#enqueue(job, (handle) => handle.pwrite(view, offsetBytes + at));
    }
    return this.#waitFor(job);
  }

  #enqueue(job: Job, start: Part['start']): void {
    job.partsLeft += 1;
    this.#queue.push({ job, start });
  }

  #issue(): void {
    const handle = this.#link.handle;
    if (handle === null) return;
    while (this.#inFlight.size < PARTS_IN_FLIGHT) {
      const part = this.#queue.shift();
      if (part === undefined) return;
      // Whoever asked learns of the first failure; the rest would be in vain.
      if (part.job.error !== null) {
        this.#partDone(part.job);
        continue;
      }
      if (this.#inFlight.size === 0) this.#silence.start(systemClock.nowMs());
      try {
        this.#inFlight.set(part.start(handle), part);
      } catch (error) {
        if (!(error instanceof LibnbdError)) throw error;
        if (handle.isOver) {
          this.#queue.unshift(part);
          return;
        }
        this.#partDone(part.job, error);
      }
    }
  }

  /** Does what can be done within `maxMs`: returns early as soon as anything happened. */
  #advance(maxMs: number): void {
    if (this.#over !== null) {
      this.#failAll(this.#over);
      return;
    }
    const handle = this.#link.handle;
    if (handle === null) {
      try {
        this.#link.reconnect(maxMs);
      } catch (error) {
        if (!(error instanceof UnderstudyError)) throw error;
        this.#failAll(error);
      }
      return;
    }
    this.#issue();
    let loss: LibnbdError | null = null;
    let moved = false;
    try {
      // In slices, so that time in which this thread did not look is never counted as the server's silence.
      moved = handle.poll(Math.min(maxMs, this.#silence.sliceMs));
    } catch (error) {
      if (!(error instanceof LibnbdError)) throw error;
      loss = error;
    }
    this.#collect(handle);
    if (loss !== null || this.#leaving) this.#lose(loss?.message ?? 'the server is shutting down');
    else this.#judgeSilence(moved);
    this.#issue();
  }

  #collect(handle: NbdHandle): void {
    for (let next = handle.nextCompletion(); next !== null; next = handle.nextCompletion()) {
      const part = this.#inFlight.get(next.cookie);
      assert(part !== undefined, 'every completion is of a part in flight');
      const { error } = next;
      if (error?.code === 'ENOTCONN' || error?.code === 'ESHUTDOWN') {
        // Not done: it stays among those in flight, which the loss of the connection deals with.
        this.#leaving = true;
        continue;
      }
      this.#inFlight.delete(next.cookie);
      if (error === null) this.#losses = 0;
      this.#partDone(part.job, error);
    }
  }

  #partDone(job: Job, refusal: LibnbdError | null = null): void {
    if (refusal !== null) job.error ??= requestError(this.info.uri, this.#config.role, job.kind, refusal);
    job.partsLeft -= 1;
    if (job.partsLeft === 0) this.#finish(job);
  }

  #finish(job: Job): void {
    const { transfer, error } = job;
    if (transfer === null) return;
    this.#done.push({ tag: transfer.tag, bytes: error === null ? job.bytes : 0, error });
  }

  #judgeSilence(moved: boolean): void {
    if (!this.#silence.look(systemClock.nowMs(), moved) || this.#inFlight.size === 0) return;
    const text = `${this.info.uri}: the server was silent for ${this.#silence.limitMs} ms with requests open`;
    this.#link.drop();
    this.#failAll(new UnderstudyError(deviceCode(this.#config.role, 'TIMEOUT'), text));
  }

  #lose(why: string): void {
    this.#leaving = false;
    this.#link.drop();
    this.#losses += 1;
    if (this.#config.mayReconnect && this.#losses <= LOSSES_MAX) {
      this.#queue.unshift(...this.#inFlight.values());
      this.#inFlight.clear();
      return;
    }
    this.#losses = 0;
    this.#failAll(new UnderstudyError(deviceCode(this.#config.role, 'UNAVAILABLE'), `${this.info.uri}: ${why}`));
  }

  /** The connection is gone: everything asked fails. A source may be asked again, a target may not. */
  #failAll(error: UnderstudyError): void {
    assert(this.#link.handle === null, 'buffers are given back only without a connection');
    if (this.#config.role === 'target') this.#over = error;
    const parts = [...this.#inFlight.values(), ...this.#queue.splice(0)];
    this.#inFlight.clear();
    for (const { job } of parts) {
      job.error ??= error;
      this.#partDone(job);
    }
  }
}
