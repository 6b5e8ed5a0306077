// Linux native asynchronous I/O (io_setup(2), io_submit(2), io_getevents(2)): several reads or writes of one thread in
// flight, with no thread pool. Truly asynchronous with O_DIRECT; without it the kernel does the work inside submit, which
// is slower but right. Where the kernel has none (ENOSYS in some sandboxes), this thread does them itself.

import { constants } from 'node:os';
import { assert, present } from '../base/mod.ts';
import { EINTR, lastErrno, lastError, libc, SYSCALL } from './libc.ts';
import { addressOf, allocatePages } from './mapping.ts';

const IOCB_CMD_PREAD = 0;
const IOCB_CMD_PWRITE = 1;
const IOCB_BYTES = 64;
const EVENT_BYTES = 32;
const IOVEC_BYTES = 16;
const { ENOSYS, EPERM, EAGAIN, ENOMEM } = constants.errno;

export interface AioRequest {
  readonly kind: 'read' | 'write';
  readonly fd: number;
  /** A view of mapped memory; it belongs to the kernel until the request is reaped. */
  readonly buffer: Uint8Array;
  readonly offsetBytes: number;
  /** Given back with the completion; 0 to 2^32-1. */
  readonly tag: number;
}

export interface AioCompletion {
  readonly tag: number;
  /** Bytes moved, or the negated error number. */
  readonly result: number;
}

export class AioContext {
  readonly depth: number;
  #context = 0n;
  #inFlight = 0;
  readonly #done: AioCompletion[] = [];
  /** [at once] Writes not begun. */
  readonly #gathered: AioRequest[] = [];
  readonly #free: number[] = [];
  readonly #tags: number[] = [];
  readonly #pages;
  readonly #view: DataView;
  readonly #address: bigint;
  readonly #eventsAt: number;
  readonly #scratchAt: number;

  /**
   * `depth` is how many requests may be in flight, 1 to 32. `atOnce`: without a context of the kernel's, a read is done inside submit,
   * and writes inside reap, neighbours of them by one pwritev(2). For the page cache, where the kernel would do all of it inside submit:
   * taking such a context down waits for RCU.
   */
  constructor(depth: number, options: { atOnce: boolean }) {
    assert(depth >= 1 && depth <= 32, 'a depth that one page of events holds');
    this.depth = depth;
    this.#pages = allocatePages(8192);
    this.#view = new DataView(this.#pages.buffer);
    this.#address = addressOf(new Uint8Array(this.#pages.buffer));
    this.#eventsAt = 4096;
    this.#scratchAt = 8192 - 64;
    for (let index = 0; index < depth; index++) this.#free.push(index);
    if (options.atOnce) return;
    this.#view.setBigUint64(this.#scratchAt, 0n, true);
    if (libc.syscall(SYSCALL.ioSetup, depth, this.#address + BigInt(this.#scratchAt), 0, 0, 0, 0) === 0) {
      this.#context = this.#view.getBigUint64(this.#scratchAt, true);
      return;
    }
    const errno = lastErrno();
    // EAGAIN: the machine's fs.aio-max-nr is used up by others.
    if (![ENOSYS, EPERM, EAGAIN, ENOMEM].includes(errno)) throw lastError('io_setup');
  }

  get inFlight(): number {
    return this.#inFlight + this.#done.length + this.#gathered.length;
  }

  submit(request: AioRequest): void {
    assert(this.inFlight < this.depth, 'no more requests than the depth');
    if (this.#context === 0n) {
      if (request.kind === 'read') this.#done.push({ tag: request.tag, result: doNow(request) });
      else this.#gathered.push(request);
      return;
    }
    const index = this.#free.pop();
    assert(index !== undefined, 'a free request block');
    this.#tags[index] = request.tag;
    const at = index * IOCB_BYTES;
    const view = this.#view;
    new Uint8Array(this.#pages.buffer, at, IOCB_BYTES).fill(0);
    view.setBigUint64(at, BigInt(index), true);
    view.setUint16(at + 16, request.kind === 'read' ? IOCB_CMD_PREAD : IOCB_CMD_PWRITE, true);
    view.setUint32(at + 20, request.fd, true);
    view.setBigUint64(at + 24, addressOf(request.buffer), true);
    view.setBigUint64(at + 32, BigInt(request.buffer.byteLength), true);
    view.setBigInt64(at + 40, BigInt(request.offsetBytes), true);
    view.setBigUint64(this.#scratchAt, this.#address + BigInt(at), true);
    this.#submitPrepared(index);
  }

  #submitPrepared(index: number): void {
    for (;;) {
      const list = this.#address + BigInt(this.#scratchAt);
      if (libc.syscall(SYSCALL.ioSubmit, this.#context, 1, list, 0, 0, 0) === 1) {
        this.#inFlight += 1;
        return;
      }
      const errno = lastErrno();
      if (errno === EINTR || errno === EAGAIN) continue;
      // The request was refused as a whole: that is its completion, with the error in it.
      this.#free.push(index);
      this.#done.push({ tag: this.#tags[index] ?? 0, result: -errno });
      return;
    }
  }

  /**
   * Completions in any order: at least one unless the time is over or nothing is in flight. Blocks the thread; [at once] for as long as the
   * gathered writes take, whatever the time-out.
   */
  reap(timeoutMs: number): AioCompletion[] {
    this.#writeGathered();
    const out = this.#done.splice(0);
    if (this.#inFlight === 0) return out;
    const view = this.#view;
    const timeout = out.length > 0 ? 0 : timeoutMs;
    view.setBigInt64(this.#scratchAt + 16, BigInt(Math.floor(timeout / 1000)), true);
    view.setBigInt64(this.#scratchAt + 24, BigInt(Math.floor((timeout % 1000) * 1e6)), true);
    const events = this.#address + BigInt(this.#eventsAt);
    const until = this.#address + BigInt(this.#scratchAt + 16);
    const least = out.length > 0 ? 0 : 1;
    const count = libc.syscall(SYSCALL.ioGetevents, this.#context, least, this.depth, events, until, 0);
    if (count < 0) {
      if (lastErrno() === EINTR) return out;
      throw lastError('io_getevents');
    }
    for (let event = 0; event < count; event++) {
      const at = this.#eventsAt + event * EVENT_BYTES;
      const index = Number(view.getBigUint64(at, true));
      this.#free.push(index);
      this.#inFlight -= 1;
      out.push({ tag: this.#tags[index] ?? 0, result: Number(view.getBigInt64(at + 16, true)) });
    }
    return out;
  }

  /** Writes what was gathered, in the order of asking, and neighbours in one system call. */
  #writeGathered(): void {
    const run: AioRequest[] = [];
    for (const request of this.#gathered.splice(0)) {
      const last = run.at(-1);
      if (last !== undefined && !follows(last, request)) this.#writeRun(run.splice(0));
      run.push(request);
    }
    this.#writeRun(run);
  }

  /** Requests of one stretch. What the common call leaves, because there is no room or for whatever reason, each tries alone: that has its error. */
  #writeRun(run: readonly AioRequest[]): void {
    let moved = run.length > 1 ? this.#writeVector(run) : 0;
    for (const request of run) {
      const own = Math.min(moved, request.buffer.byteLength);
      moved -= own;
      this.#done.push({ tag: request.tag, result: own > 0 ? own : doNow(request) });
    }
  }

  /** Bytes written, from the first request on; 0 after an error. */
  #writeVector(run: readonly AioRequest[]): number {
    for (const [index, { buffer }] of run.entries()) {
      const at = this.#eventsAt + index * IOVEC_BYTES;
      this.#view.setBigUint64(at, addressOf(buffer), true);
      this.#view.setBigUint64(at + 8, BigInt(buffer.byteLength), true);
    }
    const first = present(run[0], 'a request');
    const list = this.#address + BigInt(this.#eventsAt);
    return Math.max(0, libc.pwritev(first.fd, list, run.length, first.offsetBytes));
  }

  /** Waits for what is in flight (io_destroy(2) does; writes not begun are not), then frees the context. Idempotent. */
  close(): void {
    if (this.#context !== 0n) libc.syscall(SYSCALL.ioDestroy, this.#context, 0, 0, 0, 0, 0);
    this.#context = 0n;
    this.#inFlight = 0;
    this.#pages.unmap();
  }
}

/** Whether a write goes on where another ends. */
function follows(one: AioRequest, next: AioRequest): boolean {
  return one.fd === next.fd && one.offsetBytes + one.buffer.byteLength === next.offsetBytes;
}

function doNow(request: AioRequest): number {
  const call = request.kind === 'read' ? libc.pread : libc.pwrite;
  const count = call(request.fd, addressOf(request.buffer), request.buffer.byteLength, request.offsetBytes);
  return count >= 0 ? count : -lastErrno();
}
