// Where the command line writes. What was asked for goes to standard output, whole, or the command fails. What is told
// beside it goes to standard error, and never holds up or ends a copy: on a full file system, a terminal that has gone
// or a reader that has stopped, it is dropped.
import { constants, fstatSync, openSync, writeSync } from 'node:fs';
import { isatty } from 'node:tty';
import { errnoOf, reasonOf, shownJson, shownLines, UnderstudyError } from '../base/mod.ts';

const STDOUT = 1;
const STDERR = 2;
const WAIT_MS = 10;
/** How long messages together wait for a reader that has stopped; after that they are dropped as progress is. */
const PATIENCE_MS_MAX = 1000;

const nobodyWakes = new Int32Array(new SharedArrayBuffer(4));

/**
 * Writes to standard output. A reader that has left (`| head`) is not a failure: what was to be done is done all the
 * same; false then.
 * @throws OUTPUT_FAILED
 */
export function printResult(text: string): boolean {
  return printBytes(shownLines(text));
}

/** The same, as it is: for programs that read names, and for what is to act on a terminal. @throws OUTPUT_FAILED */
export function printBytes(text: string): boolean {
  const bytes = Buffer.from(text);
  for (let at = 0; at < bytes.length; ) {
    try {
      at += writeSync(STDOUT, bytes, at);
    } catch (cause) {
      const errno = errnoOf(cause);
      if (errno === 'EPIPE') return false;
      if (errno !== 'EAGAIN') {
        throw new UnderstudyError('OUTPUT_FAILED', `write to standard output: ${reasonOf(errno ?? '')}`, { cause });
      }
      Atomics.wait(nobodyWakes, 0, 0, WAIT_MS);
    }
  }
  return true;
}

const TOLD = 'isTold';

/** Marks an error that ends the command and was told already. Errors cross bundles, so a property says it. */
export function asTold<T>(error: T): T {
  return error instanceof Error ? Object.assign(error, { [TOLD]: true }) : error;
}

export function isTold(error: unknown): boolean {
  return error instanceof Error && TOLD in error;
}

/** JSON with everything written out that would act on a terminal. */
export function jsonText(value: unknown): string {
  return shownJson(JSON.stringify(value));
}

/** Standard error, written to without ever waiting long. */
class StandardError {
  #fd: number | null = null;
  /** The rest of what was written in part. */
  #rest: Buffer = Buffer.alloc(0);
  #patienceMs = PATIENCE_MS_MAX;

  /**
   * Writes all of it or nothing: dropped when the last one is not out yet, or when it cannot be written now. Whether it
   * was taken.
   */
  show(text: string): boolean {
    return this.#flush() && this.#put(Buffer.from(text));
  }

  /** Writes a message; waits a moment for a slow reader. */
  say(text: string): void {
    this.act(shownLines(text));
  }

  /** The same, with what acts on a terminal. */
  act(text: string): void {
    while (!this.#flush() && this.#waits());
    if (this.#rest.length > 0) return;
    this.#rest = Buffer.from(text);
    while (!this.#flush() && this.#waits());
  }

  #waits(): boolean {
    if (this.#patienceMs <= 0) return false;
    Atomics.wait(nobodyWakes, 0, 0, WAIT_MS);
    this.#patienceMs -= WAIT_MS;
    return true;
  }

  /** Whether nothing is left of what was begun. */
  #flush(): boolean {
    const rest = this.#rest;
    this.#rest = Buffer.alloc(0);
    this.#put(rest, true);
    return this.#rest.length === 0;
  }

  /** A reader that is slow gets the rest of what it has begun later; what is full, gone or closed gets nothing. */
  #put(bytes: Buffer, keepAll = false): boolean {
    let at = 0;
    this.#fd ??= openWithoutWaiting();
    try {
      while (at < bytes.length) at += writeSync(this.#fd, bytes, at);
      return true;
    } catch (cause) {
      if (errnoOf(cause) !== 'EAGAIN' || (at === 0 && !keepAll)) return false;
      this.#rest = bytes.subarray(at);
      return true;
    }
  }
}

/**
 * Standard error so that writing to it does not wait. Pipes and terminals are opened once more, because to change the
 * open file itself would change it for everybody who has it (the shell, for one). Sockets cannot be; Node.js makes them
 * so when its stream is made. Files are written as they are: they keep nobody waiting, and a second open file would
 * have a position of its own.
 */
function openWithoutWaiting(): number {
  try {
    const stats = fstatSync(STDERR);
    if (stats.isFIFO() || isatty(STDERR)) {
      return openSync(`/proc/self/fd/${STDERR}`, constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
    }
    if (stats.isSocket()) void process.stderr.fd;
  } catch {
    // Of another user (su), or without /proc: as Node.js has it.
    void process.stderr.fd;
  }
  return STDERR;
}

export const stderr = new StandardError();
