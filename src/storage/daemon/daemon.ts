// The daemon under supervision: found by its socket when we start, started when it is not there, started again the moment it
// dies. After each new connection the world is made as it is wanted (`settle`) before anybody may use it.
//
//   reach --- connected ---> settle --- settled ---> up
//     ^                        |                      |
//     +------- wait <----------+---- failed or lost --+
import { setTimeout as delay } from 'node:timers/promises';
import { codeOf, messageOf, UnderstudyError } from '../../base/mod.ts';
import { QMP_TIMEOUTS, QmpConnection, quit } from '../qmp/mod.ts';
import { type DaemonPaths, daemonLives, daemonLog, startDaemon } from './process.ts';

/** A daemon that was started listens within this time, or something is wrong. */
const REACH_TIMEOUT_MS = 30_000;
const LOOK_MS = 10;
/** Between tries that fail, doubled each time: hosts wait for their disks. */
const WAIT_MS_MIN = 50;
const WAIT_MS_MAX = 5000;

export interface DaemonOptions {
  readonly paths: DaemonPaths;
  /** Makes the block graph what it has to be; nobody else uses the connection meanwhile. */
  readonly settle: (qmp: QmpConnection) => Promise<void>;
  /** Called before a daemon is started: it is to be remembered that there is one. */
  readonly onStart: () => Promise<void>;
}

export class StorageDaemon {
  readonly #options: DaemonOptions;
  readonly #ending = new AbortController();
  #qmp: QmpConnection | null = null;
  #failure: UnderstudyError | null = null;
  #running: Promise<void> = Promise.resolve();
  #settled: (() => void)[] = [];

  constructor(options: DaemonOptions) {
    this.#options = options;
  }

  /** Resolves when the daemon is up and settled for the first time. @throws TOOL_MISSING, STORAGE_FAILED, and `settle`'s */
  async start(): Promise<void> {
    const qmp = await this.#bringUp();
    this.#running = this.#supervise(qmp);
  }

  get isUp(): boolean {
    return this.#qmp?.isOpen === true;
  }

  /** The connection of this moment. @throws STORAGE_FAILED while the daemon is away */
  get qmp(): QmpConnection {
    if (this.#qmp?.isOpen === true) return this.#qmp;
    const why = this.#failure === null ? 'it is being started again' : this.#failure.message;
    throw new UnderstudyError('STORAGE_FAILED', `the storage daemon is away: ${why}`, { cause: this.#failure });
  }

  /** Resolves when it is up, at once if it is. @throws STORAGE_FAILED after the time-out */
  async untilUp(timeoutMs: number): Promise<void> {
    if (this.isUp) return;
    const timer = new AbortController();
    const up = new Promise<void>((resolve) => this.#settled.push(resolve));
    await Promise.race([up, delay(timeoutMs, undefined, { signal: timer.signal })]);
    timer.abort();
    if (!this.isUp) void this.qmp;
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
    const deadline = performance.now() + REACH_TIMEOUT_MS;
    while (daemonLives(this.#options.paths)) {
      if (performance.now() > deadline) throw failed('the storage daemon was told to end and does not');
      await delay(LOOK_MS);
    }
  }

  async #supervise(first: QmpConnection): Promise<void> {
    let qmp: QmpConnection | null = first;
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
    }
  }

  async #bringUp(): Promise<QmpConnection> {
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
    const { paths, onStart } = this.#options;
    const deadline = performance.now() + REACH_TIMEOUT_MS;
    let started = false;
    for (;;) {
      if (!daemonLives(paths)) {
        if (started) throw failed(`the storage daemon ended as soon as it was started: ${daemonLog(paths)}`);
        await onStart();
        started = await startDaemon(paths);
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

function failed(message: string): UnderstudyError {
  return new UnderstudyError('STORAGE_FAILED', message);
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  try {
    await delay(ms, undefined, { signal });
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}
