// The connection of an NBD device: made within a deadline, dropped when it is lost, and made again in small steps, so that
// the device's bounded calls stay bounded while a server restarts.
import { assert, messageOf, systemClock, UnderstudyError } from '../../base/mod.ts';
import { LibnbdError, type NbdExport, NbdHandle } from '../../linux/mod.ts';
import { type DeviceRole, deviceCode } from './contract.ts';

/** Waits between tries to reach a server again; the last one repeats until the time is over. */
const RECONNECT_DELAYS_MS = [0, 50, 100, 200, 400, 800, 1000] as const;
/** How long a server may take to hang up after our goodbye; closing is not worth more. */
const GOODBYE_MS = 1000;

export interface NbdLinkConfig {
  readonly uri: string;
  readonly role: DeviceRole;
  /** Most that one try to connect may take, handshake included. */
  readonly connectTimeoutMs: number;
  /** Most that all tries to connect again may take, from the first one on. */
  readonly reconnectTimeoutMs: number;
}

export class NbdLink {
  readonly #config: NbdLinkConfig;
  #handle: NbdHandle | null = null;
  #connecting: { readonly handle: NbdHandle; readonly untilMs: number } | null = null;
  #triedSinceMs = 0;
  #tries = 0;
  #tryAtMs = 0;
  /** A private word that nobody ever wakes: Atomics.wait on it is a bounded pause of this thread. */
  readonly #pause = new Int32Array(new SharedArrayBuffer(4));
  #export: NbdExport | null = null;

  constructor(config: NbdLinkConfig) {
    this.#config = config;
  }

  /** The connection, or null while there is none. */
  get handle(): NbdHandle | null {
    return this.#handle;
  }

  /** Connects for the first time. Blocks. @throws *_UNAVAILABLE, *_TIMEOUT, *_NOT_FOUND, *_PERMISSION, USAGE, TOOL_MISSING */
  connect(): NbdExport {
    this.#start();
    while (this.#handle === null) this.#step(this.#config.connectTimeoutMs);
    assert(this.#export !== null, 'a connection knows its export');
    return this.#export;
  }

  /** Ends the connection at once: from here on nothing touches the buffers of its requests. */
  drop(): void {
    this.#handle?.close();
    this.#handle = null;
    this.#tries = 0;
    this.#tryAtMs = 0;
  }

  /**
   * One step towards a new connection, of at most `maxMs`; look at `handle` afterwards. A further call after an exception starts anew.
   * @throws the failure of the last try, when the time for trying is over; SOURCE_CHANGED when another size came back
   */
  reconnect(maxMs: number): void {
    const now = systemClock.nowMs();
    if (this.#connecting === null && this.#tryAtMs > now) {
      Atomics.wait(this.#pause, 0, 0, Math.min(maxMs, this.#tryAtMs - now));
      return;
    }
    if (this.#tries === 0 && this.#connecting === null) this.#triedSinceMs = now;
    try {
      if (this.#connecting === null) this.#start();
      else this.#step(maxMs);
    } catch (error) {
      this.#retryLater(error);
    }
  }

  /** Says goodbye if `politely`, waits for the server to hang up (bounded), and releases everything. Idempotent. */
  close(politely: boolean): void {
    this.#connecting?.handle.close();
    this.#connecting = null;
    const handle = this.#handle;
    this.#handle = null;
    if (handle === null) return;
    try {
      if (politely) goodbye(handle);
    } finally {
      handle.close();
    }
  }

  #start(): void {
    const handle = new NbdHandle();
    try {
      handle.startConnect(this.#config.uri);
    } catch (error) {
      handle.close();
      throw this.#failure(error, true);
    }
    this.#connecting = { handle, untilMs: systemClock.nowMs() + this.#config.connectTimeoutMs };
  }

  #step(maxMs: number): void {
    const connecting = this.#connecting;
    assert(connecting !== null, 'a connection is being made');
    const { handle, untilMs } = connecting;
    try {
      if (!handle.isConnected) handle.poll(Math.max(0, Math.min(maxMs, untilMs - systemClock.nowMs())));
      if (handle.isConnected) {
        this.#accept(handle.describe());
        this.#handle = handle;
        this.#connecting = null;
      } else if (systemClock.nowMs() >= untilMs) {
        throw new UnderstudyError(
          deviceCode(this.#config.role, 'TIMEOUT'),
          `${this.#config.uri}: no NBD handshake within ${this.#config.connectTimeoutMs} ms`,
        );
      }
    } catch (error) {
      handle.close();
      this.#connecting = null;
      throw this.#failure(error, false);
    }
  }

  /** A server that comes back with another size serves another image. */
  #accept(found: NbdExport): void {
    const before = this.#export;
    if (before !== null && before.sizeBytes !== found.sizeBytes) {
      throw new UnderstudyError(
        this.#config.role === 'source' ? 'SOURCE_CHANGED' : 'TARGET_UNAVAILABLE',
        `${this.#config.uri}: had ${before.sizeBytes} bytes, and ${found.sizeBytes} after connecting again`,
      );
    }
    this.#export ??= found;
  }

  #retryLater(error: unknown): void {
    const now = systemClock.nowMs();
    const delayMs = RECONNECT_DELAYS_MS[Math.min(this.#tries + 1, RECONNECT_DELAYS_MS.length - 1)] ?? 0;
    this.#tries += 1;
    this.#tryAtMs = now + delayMs;
    const final = error instanceof UnderstudyError && error.code === 'SOURCE_CHANGED';
    if (final || this.#tryAtMs - this.#triedSinceMs > this.#config.reconnectTimeoutMs) {
      this.drop();
      throw error;
    }
  }

  #failure(error: unknown, starting: boolean): unknown {
    if (!(error instanceof LibnbdError)) return error;
    const { uri, role } = this.#config;
    return new UnderstudyError(connectCode(role, error, starting), `${uri}: ${messageOf(error)}`, { cause: error });
  }
}

function connectCode(role: DeviceRole, error: LibnbdError, starting: boolean): UnderstudyError['code'] {
  // libnbd reads the URI before it does anything else; EINVAL later comes from a server that talks nonsense.
  if (starting && error.code === 'EINVAL') return 'USAGE';
  if (starting && error.code === 'EACCES') return deviceCode(role, 'PERMISSION');
  // Later than the connect, ENOENT is the server's answer that it has no export of this name. A server that answers at once
  // may be that far before the call that connects returns; then only libnbd's text tells it from a socket that is missing.
  const answered = !starting || error.message.includes(' handshake: ');
  if (answered && error.code === 'ENOENT') return deviceCode(role, 'NOT_FOUND');
  if (error.code === 'ETIMEDOUT') return deviceCode(role, 'TIMEOUT');
  return deviceCode(role, 'UNAVAILABLE');
}

function goodbye(handle: NbdHandle): void {
  const untilMs = systemClock.nowMs() + GOODBYE_MS;
  try {
    handle.startDisconnect();
    for (let leftMs = GOODBYE_MS; leftMs > 0 && !handle.isOver; leftMs = untilMs - systemClock.nowMs()) {
      handle.poll(leftMs);
    }
  } catch (error) {
    // The server hung up first: everything that mattered was flushed before, and hanging up is what we want.
    if (!(error instanceof LibnbdError)) throw error;
  }
}
