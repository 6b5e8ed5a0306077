// libnbd (libnbd(3), version 1.14 in Debian 12), called through koffi: one connection to an NBD server, driven without
// blocking longer than asked. The binding is thin; what a failure means is decided by the caller
// (replication/device/nbd.ts).
//
// All calls of one handle come from one thread. libnbd has no thread of its own: it moves bytes, and calls back, only inside
// the calls below, so a buffer is touched only while its request is in flight and one of these functions runs. After
// close() nothing is touched any more.
import { constants } from 'node:os';
import koffi, { type LibraryHandle } from 'koffi';
import { assert, UnderstudyError } from '../base/mod.ts';
import { addressOf } from './mapping.ts';

/** nbd_get_block_size(3): constants of libnbd.h. */
const LIBNBD_SIZE_MINIMUM = 0;
const LIBNBD_SIZE_MAXIMUM = 2;
/** NBD protocol, "base:allocation": the range reads as zeros. */
const NBD_STATE_ZERO = 2;
const CONTEXT_ALLOCATION = 'base:allocation';
const { EINTR } = constants.errno;

type Handle = bigint;
interface Callback {
  readonly callback: bigint | null;
  readonly user_data: bigint | null;
  readonly free: bigint | null;
}
const NO_CALLBACK: Callback = { callback: null, user_data: null, free: null };

type Transfer = (
  handle: Handle,
  buffer: bigint,
  count: number,
  offset: number,
  completion: Callback,
  flags: number,
) => number;
type Predicate = (handle: Handle) => number;
type ExtentCallback = (user: bigint, context: string, offset: number, entries: bigint, count: number) => number;

interface Library {
  create(): Handle | null;
  close(handle: Handle): void;
  getError(): string | null;
  getErrno(): number;
  allowLocalFile(handle: Handle, allow: boolean): number;
  preadInitialize(handle: Handle, initialize: boolean): number;
  addMetaContext(handle: Handle, name: string): number;
  connectUri(handle: Handle, uri: string): number;
  poll(handle: Handle, timeoutMs: number): number;
  isReady: Predicate;
  isProcessing: Predicate;
  isDead: Predicate;
  isClosed: Predicate;
  isReadOnly: Predicate;
  canFlush: Predicate;
  canZero: Predicate;
  canTrim: Predicate;
  canMetaContext(handle: Handle, name: string): number;
  getSize(handle: Handle): number | bigint;
  getBlockSize(handle: Handle, kind: number): number;
  pread: Transfer;
  pwrite: Transfer;
  flush(handle: Handle, completion: Callback, flags: number): number;
  zero(handle: Handle, count: number, offset: number, completion: Callback, flags: number): number;
  blockStatus(
    handle: Handle,
    count: number,
    offset: number,
    extent: Callback,
    completion: Callback,
    flags: number,
  ): number;
  peekCompleted(handle: Handle): number;
  completed(handle: Handle, cookie: number): number;
  disconnect(handle: Handle, flags: number): number;
  registerExtentCallback(callback: ExtentCallback): bigint;
}

let library: Library | null = null;

function load(): Library {
  let so: LibraryHandle;
  try {
    so = koffi.load('libnbd.so.0');
  } catch (cause) {
    throw new UnderstudyError('TOOL_MISSING', 'libnbd.so.0 is not installed; on Debian: apt-get install libnbd0', {
      cause,
    });
  }
  // Anonymous types: a name may be registered only once in a process, and this module may be loaded more often than that.
  const callback = koffi.struct({ callback: 'void*', user_data: 'void*', free: 'void*' });
  const extent = koffi.proto('int', ['void*', 'str', 'uint64_t', 'void*', 'size_t', 'void*']);
  const transfer = ['void*', 'void*', 'size_t', 'uint64_t', callback, 'uint32_t'];
  const predicate = (name: string) => so.func(name, 'int', ['void*']) as Predicate;
  return {
    create: so.func('nbd_create', 'void*', []),
    close: so.func('nbd_close', 'void', ['void*']),
    getError: so.func('nbd_get_error', 'str', []),
    getErrno: so.func('nbd_get_errno', 'int', []),
    allowLocalFile: so.func('nbd_set_uri_allow_local_file', 'int', ['void*', 'bool']),
    preadInitialize: so.func('nbd_set_pread_initialize', 'int', ['void*', 'bool']),
    addMetaContext: so.func('nbd_add_meta_context', 'int', ['void*', 'str']),
    connectUri: so.func('nbd_aio_connect_uri', 'int', ['void*', 'str']),
    poll: so.func('nbd_poll', 'int', ['void*', 'int']),
    isReady: predicate('nbd_aio_is_ready'),
    isProcessing: predicate('nbd_aio_is_processing'),
    isDead: predicate('nbd_aio_is_dead'),
    isClosed: predicate('nbd_aio_is_closed'),
    isReadOnly: predicate('nbd_is_read_only'),
    canFlush: predicate('nbd_can_flush'),
    canZero: predicate('nbd_can_zero'),
    canTrim: predicate('nbd_can_trim'),
    canMetaContext: so.func('nbd_can_meta_context', 'int', ['void*', 'str']),
    getSize: so.func('nbd_get_size', 'int64_t', ['void*']),
    getBlockSize: so.func('nbd_get_block_size', 'int64_t', ['void*', 'int']),
    pread: so.func('nbd_aio_pread', 'int64_t', transfer),
    pwrite: so.func('nbd_aio_pwrite', 'int64_t', transfer),
    flush: so.func('nbd_aio_flush', 'int64_t', ['void*', callback, 'uint32_t']),
    zero: so.func('nbd_aio_zero', 'int64_t', ['void*', 'uint64_t', 'uint64_t', callback, 'uint32_t']),
    blockStatus: so.func('nbd_aio_block_status', 'int64_t', [
      'void*',
      'uint64_t',
      'uint64_t',
      callback,
      callback,
      'uint32_t',
    ]),
    peekCompleted: so.func('nbd_aio_peek_command_completed', 'int64_t', ['void*']),
    completed: so.func('nbd_aio_command_completed', 'int', ['void*', 'uint64_t']),
    disconnect: so.func('nbd_aio_disconnect', 'int', ['void*', 'uint32_t']),
    registerExtentCallback: (call) => koffi.register(call, koffi.pointer(extent)),
  };
}

const errnoNames = new Map(Object.entries(constants.errno).map(([name, number]) => [number, name]));
// Node.js has no name for it; an NBD server that is about to end answers requests with it.
errnoNames.set(108, 'ESHUTDOWN');

/** A failed call of libnbd: `code` is the system's name of the error ('' when libnbd gives none), the message libnbd's. */
export class LibnbdError extends Error {
  readonly code: string;

  constructor(message: string, errno: number) {
    super(message);
    this.name = 'LibnbdError';
    this.code = errnoNames.get(errno) ?? '';
  }
}

export interface NbdExport {
  readonly sizeBytes: number;
  readonly readOnly: boolean;
  readonly canFlush: boolean;
  readonly canZero: boolean;
  readonly canTrim: boolean;
  /** Whether the server tells which ranges read as zeros (block status with base:allocation). */
  readonly canExtents: boolean;
  /** What offsets and lengths of requests must be multiples of; at least 1. */
  readonly blockBytesMin: number;
  /** Most bytes of one read or write. */
  readonly blockBytesMax: number;
}

export interface NbdCompletion {
  /** As returned by the call that started the request. */
  readonly cookie: number;
  /** Null when the server did all that was asked. */
  readonly error: LibnbdError | null;
}

/** A run of bytes of one kind; `zero` is true where the server says that it reads as zeros. */
export type NbdExtentSink = (lengthBytes: number, zero: boolean) => void;

export class NbdHandle {
  readonly #library: Library;
  #handle: Handle;
  #extentCallback = 0n;
  readonly #sinks = new Map<bigint, NbdExtentSink>();
  #sinkCount = 0n;

  /** @throws TOOL_MISSING without libnbd */
  constructor() {
    library ??= load();
    this.#library = library;
    const handle = library.create();
    if (handle === null || handle === 0n) throw this.#error('nbd_create');
    this.#handle = handle;
    // Users name key files in their own URIs (tls-psk-file=, tls-certificates=).
    this.#check(library.allowLocalFile(handle, true));
    // Without this libnbd zeroes every buffer before it reads into it, against callers that ignore errors. Ours look at each
    // request's result (see `completed`), and clearing costs a pass over memory for each byte copied.
    this.#check(library.preadInitialize(handle, false));
    this.#check(library.addMetaContext(handle, CONTEXT_ALLOCATION));
  }

  /**
   * Starts connecting (nbd_aio_connect_uri(3)); poll until `isConnected`. Looking a host name up blocks for as long as the
   * system's resolver does. @throws LibnbdError
   */
  startConnect(uri: string): void {
    this.#check(this.#library.connectUri(this.#live(), uri));
  }

  /** The handshake is over and requests may be sent. */
  get isConnected(): boolean {
    const handle = this.#live();
    return this.#library.isReady(handle) === 1 || this.#library.isProcessing(handle) === 1;
  }

  /** The connection is over, well or badly; only completions can still be fetched, and the handle closed. */
  get isOver(): boolean {
    const handle = this.#live();
    return this.#library.isDead(handle) === 1 || this.#library.isClosed(handle) === 1;
  }

  /**
   * Waits for the next thing to happen and does it; false when the time is over. Blocks the thread. 0 ms looks only.
   * @throws LibnbdError when the connection fails
   */
  poll(timeoutMs: number): boolean {
    const result = this.#library.poll(this.#live(), Math.ceil(timeoutMs));
    if (result >= 0) return result > 0;
    if (this.#library.getErrno() === EINTR && !this.isOver) return false;
    throw this.#error('nbd_poll');
  }

  /** What the server said of the export. @throws LibnbdError also when it said nonsense */
  describe(): NbdExport {
    const lib = this.#library;
    const handle = this.#live();
    const sizeBytes = Number(this.#check(lib.getSize(handle)));
    if (!Number.isSafeInteger(sizeBytes)) throw new LibnbdError(`the server claims ${sizeBytes} bytes`, 0);
    const flag = (predicate: Predicate) => this.#check(predicate(handle)) === 1;
    return {
      sizeBytes,
      readOnly: flag(lib.isReadOnly),
      canFlush: flag(lib.canFlush),
      canZero: flag(lib.canZero),
      canTrim: flag(lib.canTrim),
      canExtents: this.#check(lib.canMetaContext(handle, CONTEXT_ALLOCATION)) === 1,
      blockBytesMin: Number(this.#check(lib.getBlockSize(handle, LIBNBD_SIZE_MINIMUM))) || 1,
      // Without a word of the server 32 MiB is what every server takes (NBD protocol, "Size constraints").
      blockBytesMax: Number(this.#check(lib.getBlockSize(handle, LIBNBD_SIZE_MAXIMUM))) || 32 * 1024 * 1024,
    };
  }

  /** Starts a read into mapped memory; returns its cookie. @throws LibnbdError when it cannot be started */
  pread(buffer: Uint8Array, offsetBytes: number): number {
    const address = addressOf(buffer);
    return this.#check(this.#library.pread(this.#live(), address, buffer.byteLength, offsetBytes, NO_CALLBACK, 0));
  }

  /** Starts a write from mapped memory; returns its cookie. @throws LibnbdError when it cannot be started */
  pwrite(buffer: Uint8Array, offsetBytes: number): number {
    const address = addressOf(buffer);
    return this.#check(this.#library.pwrite(this.#live(), address, buffer.byteLength, offsetBytes, NO_CALLBACK, 0));
  }

  /** Starts a flush of all completed writes. @throws LibnbdError when it cannot be started */
  flush(): number {
    return this.#check(this.#library.flush(this.#live(), NO_CALLBACK, 0));
  }

  /** Starts zeroing at most 2^32-1 bytes; the server may punch a hole. @throws LibnbdError when it cannot be started */
  zero(offsetBytes: number, lengthBytes: number): number {
    return this.#check(this.#library.zero(this.#live(), lengthBytes, offsetBytes, NO_CALLBACK, 0));
  }

  /**
   * Asks what is known of a range of at most 2^32-1 bytes; `sink` gets runs from `offsetBytes` on, inside poll(). The server
   * may tell less than was asked, and its last run may reach further. @throws LibnbdError when it cannot be started
   */
  blockStatus(offsetBytes: number, lengthBytes: number, sink: NbdExtentSink): number {
    if (this.#extentCallback === 0n) {
      this.#extentCallback = this.#library.registerExtentCallback((user, context, _offset, entries, count) => {
        const found = this.#sinks.get(user);
        if (found !== undefined && context === CONTEXT_ALLOCATION) emitExtents(entries, Number(count), found);
        return 0;
      });
    }
    this.#sinkCount += 1n;
    this.#sinks.set(this.#sinkCount, sink);
    const extent = { callback: this.#extentCallback, user_data: this.#sinkCount, free: null };
    return this.#check(this.#library.blockStatus(this.#live(), lengthBytes, offsetBytes, extent, NO_CALLBACK, 0));
  }

  /**
   * The next finished request, or null. A request that failed is as finished as one that did not: only `error: null` says
   * that bytes moved (nbdcopy once overlooked that difference: CVE-2022-0485).
   */
  nextCompletion(): NbdCompletion | null {
    const cookie = this.#library.peekCompleted(this.#live());
    // -1: nothing is in flight.
    if (cookie <= 0) return null;
    const result = this.#library.completed(this.#live(), cookie);
    assert(result !== 0, 'a request that libnbd named as completed is completed');
    return { cookie, error: result === 1 ? null : this.#error('nbd_aio_command_completed') };
  }

  /** Says goodbye (NBD_CMD_DISC); poll until `isOver`. @throws LibnbdError */
  startDisconnect(): void {
    this.#check(this.#library.disconnect(this.#live(), 0));
  }

  /** Closes the socket, whatever was in flight, and frees everything. Idempotent. */
  close(): void {
    if (this.#handle === 0n) return;
    this.#library.close(this.#handle);
    this.#handle = 0n;
    this.#sinks.clear();
    if (this.#extentCallback !== 0n) koffi.unregister(this.#extentCallback);
  }

  #live(): Handle {
    assert(this.#handle !== 0n, 'the handle is open');
    return this.#handle;
  }

  #check<T extends number | bigint>(result: T): T {
    if (result < 0) throw this.#error('libnbd');
    return result;
  }

  /** The error of the last call of this thread. */
  #error(call: string): LibnbdError {
    const text = this.#library.getError() ?? `${call} failed`;
    return new LibnbdError(text, this.#library.getErrno());
  }
}

/** An array of pairs (length, flags), each 32 bits: nbd_block_status(3). */
function emitExtents(entries: bigint, count: number, sink: NbdExtentSink): void {
  const words = koffi.decode(entries, 'uint32_t', count) as ArrayLike<number>;
  for (let index = 0; index + 1 < words.length; index += 2) {
    sink(words[index] ?? 0, ((words[index + 1] ?? 0) & NBD_STATE_ZERO) !== 0);
  }
}
