// A daemon under supervision: found by its socket when we start, started when it is not there, started again the moment it
// dies. After each new connection the world is made as it is wanted (`settle`) before anybody may use it.
//
//   reach --- connected ---> settle --- settled ---> up
//     ^                        |                      |
//     +------- wait <----------+---- failed or lost --+
import { setTimeout as delay } from 'node:timers/promises';
import { codeOf, messageOf, UnderstudyError } from '../../base/mod.ts';
import { QMP_TIMEOUTS, QmpConnection, quit } from '../qmp/mod.ts';
import { type DaemonPaths, daemonLives, daemonLog, killDaemon, type Launch, startDaemon } from './process.ts';

/** A daemon that was started listens within this time, or something is wrong. */
const REACH_TIMEOUT_MS = 30_000;
const LOOK_MS = 10;
/** Between tries that fail, doubled each time: hosts wait for their disks. */
const WAIT_MS_MIN = 50;
const WAIT_MS_MAX = 5000;

export interface DaemonOptions {
  /** For messages: "the storage daemon". */
  readonly what: string;
  readonly paths: DaemonPaths;
  /** Makes the block graph what it has to be; nobody else uses the connection meanwhile. */
  readonly settle: (qmp: QmpConnection) => Promise<void>;
  /** Asked before each connection: throws when the place belongs to somebody else now. @default it never does */
  readonly check?: () => void;
  /** Called before a daemon is started, when none lives: it is to be remembered that there is one. */
  readonly launch: () => Promise<Launch>;
}

export class StorageDaemon {
  readonly #options: DaemonOptions;
  readonly #ending = new AbortController();
  #qmp: QmpConnection | null = null;
  #failure: UnderstudyError | null = null;
  #running: Promise<void> = Promise.resolve();
  #settled: (() => void)[] = [];
  #tried: (() => void)[] = [];

  constructor(options: DaemonOptions) {
    this.#options = options;
  }

  /**
   * Resolves when the daemon is up and settled for the first time. @throws TOOL_MISSING, STORAGE_FAILED, and `settle`'s
   */
  async start(): Promise<void> {
    const qmp = await this.#bringUp();
    this.#running = this.#supervise(qmp);
  }

  /** The same without waiting: it is tried until it succeeds. */
  begin(): void {
    this.#running = this.#supervise(null);
  }

  get isUp(): boolean {
    return this.#qmp?.isOpen === true;
  }

  /** The connection of this moment. @throws STORAGE_FAILED while the daemon is away */
  get qmp(): QmpConnection {
    if (this.#qmp?.isOpen === true) return this.#qmp;
    const why = this.#failure === null ? 'it is being started again' : this.#failure.message;
    throw new UnderstudyError('STORAGE_FAILED', `${this.#options.what} is away: ${why}`, { cause: this.#failure });
  }

  /** Why it is not up, as far as is known; null while it is up or being started. */
  get failure(): UnderstudyError | null {
    return this.isUp ? null : this.#failure;
  }

  /** Resolves when it is up, at once if it is. @throws STORAGE_FAILED after the time-out */
  async untilUp(timeoutMs: number): Promise<void> {
    if (!this.isUp) await inTime(timeoutMs, new Promise<void>((resolve) => this.#settled.push(resolve)));
    if (!this.isUp) void this.qmp;
  }

  /**
   * The same, but does not wait for a second try when one fails. @throws what it failed with, STORAGE_FAILED after the
   * time-out
   */
  async untilTried(timeoutMs: number): Promise<void> {
    if (!this.isUp) await inTime(timeoutMs, new Promise<void>((resolve) => this.#tried.push(resolve)));
    if (!this.isUp) throw this.#failure ?? failed(`${this.#options.what} does not come up within ${timeoutMs} ms`);
  }

  /** Kills the daemon, which holds nothing, and waits for the next one. @throws as `killDaemon` and `untilTried` */
  async restart(timeoutMs: number): Promise<void> {
    const qmp = this.qmp;
    await killDaemon(this.#options.paths);
    await qmp.closed;
    await this.untilTried(timeoutMs);
  }

  /** Ends our side; the daemon goes on. */
  async close(): Promise<void> {
    this.#ending.abort();
    this.#qmp?.close();
    await this.#running;
  }

  /** Ends the daemon in good order, and with it every export. */
  async shutdown(): Promise<void> {
    this.#ending.abort();
    const qmp = this.qmp;
    await quit(qmp);
    await this.#running;
    await untilGone(this.#options);
  }

  async #supervise(first: QmpConnection | null): Promise<void> {
    let qmp: QmpConnection | null = first ?? (await this.#tryAgain());
    let waitMs = WAIT_MS_MIN;
    while (!this.#ending.signal.aborted) {
      if (qmp !== null) {
        this.#failure = await qmp.closed;
        this.#qmp = null;
        waitMs = WAIT_MS_MIN;
      } else {
        await pause(waitMs, this.#ending.signal);
        waitMs = Math.min(2 * waitMs, WAIT_MS_MAX);
      }
      if (this.#ending.signal.aborted) return;
      qmp = await this.#tryAgain();
    }
    qmp?.close();
  }

  async #tryAgain(): Promise<QmpConnection | null> {
    try {
      return await this.#bringUp();
    } catch (error) {
      // A defect is told to the process; the daemon is tried again all the same, for hosts wait for their disks.
      if (codeOf(error) === null) setImmediate(() => raise(error));
      this.#failure = error instanceof UnderstudyError ? error : failed(messageOf(error));
      return null;
    } finally {
      for (const resolve of this.#tried.splice(0)) resolve();
    }
  }

  async #bringUp(): Promise<QmpConnection> {
    this.#options.check?.();
    const qmp = await this.#reach();
    try {
      await this.#options.settle(qmp);
    } catch (error) {
      qmp.close();
      throw error;
    }
    this.#qmp = qmp;
    this.#failure = null;
    for (const resolve of this.#settled.splice(0)) resolve();
    return qmp;
  }

  /** Connects, and starts a daemon whenever none lives. One that ends just now is waited for. */
  async #reach(): Promise<QmpConnection> {
    const { what, paths, launch } = this.#options;
    let deadline = performance.now() + REACH_TIMEOUT_MS;
    let started = false;
    for (;;) {
      if (!daemonLives(paths)) {
        if (started) throw failed(`${what} ended as soon as it was started: ${daemonLog(paths)}`);
        started = await startDaemon(paths, launch);
        deadline = performance.now() + REACH_TIMEOUT_MS;
      }
      try {
        return await QmpConnection.open({ path: paths.qmp, ...QMP_TIMEOUTS });
      } catch (error) {
        if (this.#ending.signal.aborted || performance.now() > deadline) throw error;
      }
      await delay(LOOK_MS);
    }
  }
}

function raise(error: unknown): never {
  throw error;
}

async function untilGone({ what, paths }: { readonly what: string; readonly paths: DaemonPaths }): Promise<void> {
  const deadline = performance.now() + REACH_TIMEOUT_MS;
  while (daemonLives(paths)) {
    if (performance.now() > deadline) throw failed(`${what} was told to end and does not`);
    await delay(LOOK_MS);
  }
}

function failed(message: string): UnderstudyError {
  return new UnderstudyError('STORAGE_FAILED', message);
}

/** Waits for `what`, and no longer than the time. */
async function inTime(timeoutMs: number, what: Promise<void>): Promise<void> {
  const timer = new AbortController();
  await Promise.race([what, pause(timeoutMs, timer.signal)]);
  timer.abort();
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  try {
    await delay(ms, undefined, { signal });
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}
