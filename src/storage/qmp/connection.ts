// One connection to a QMP server: greeting, capabilities, commands matched to their answers by id, events. It lives until it is
// closed, the server goes away, an answer does not come in time, or the server says something that is not QMP; after that
// nothing can be known of commands under way, and whoever used it connects again and reads the state back.
import { connect, type Socket } from 'node:net';
import type * as z from 'zod';
import { assert, messageOf, UnderstudyError } from '../../base/mod.ts';
import { LINE_BYTES_MAX, parseMessage, type QmpEvent, type QmpMessage } from './message.ts';

export interface QmpOptions {
  /** Path of the server's Unix socket. */
  readonly path: string;
  /** Until the greeting and the negotiation are over. 1 and up. */
  readonly connectTimeoutMs: number;
  /** Until the answer to a command. 1 and up. */
  readonly commandTimeoutMs: number;
}

interface Pending {
  readonly command: string;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: UnderstudyError) => void;
  readonly timer: NodeJS.Timeout;
}

interface Waiter {
  readonly matches: (event: QmpEvent) => boolean;
  readonly resolve: (event: QmpEvent) => void;
  readonly reject: (error: UnderstudyError) => void;
  readonly timer: NodeJS.Timeout;
}

export interface ExpectedEvent {
  readonly event: Promise<QmpEvent>;
  /** Forgets it; the promise may then stay open for ever. Idempotent. */
  cancel(): void;
}

const NEWLINE = 0x0a;

export class QmpConnection {
  /** Resolves with the reason when the connection is over; never rejects. */
  readonly closed: Promise<UnderstudyError>;
  readonly #options: QmpOptions;
  readonly #socket: Socket;
  readonly #pending = new Map<number, Pending>();
  readonly #waiters = new Set<Waiter>();
  readonly #greeted: Promise<string>;
  #greet: (version: string) => void = () => {};
  #close: (reason: UnderstudyError) => void = () => {};
  #over: UnderstudyError | null = null;
  #lastId = 0;
  #version: string | null = null;
  #pieces: Buffer[] = [];
  #pieceBytes = 0;

  private constructor(options: QmpOptions) {
    this.#options = options;
    this.closed = new Promise((resolve) => {
      this.#close = resolve;
    });
    this.#greeted = new Promise((resolve) => {
      this.#greet = resolve;
    });
    this.#socket = connect(options.path);
    this.#socket.on('data', (bytes: Buffer) => this.#receive(bytes));
    this.#socket.on('error', (cause) => this.#end(failed(`${options.path}: ${messageOf(cause)}`, cause)));
    this.#socket.on('close', () => this.#end(failed(`${options.path}: the storage daemon closed the connection`)));
  }

  /** @throws STORAGE_FAILED when nobody listens, or what listens is silent or speaks something else */
  static async open(options: QmpOptions): Promise<QmpConnection> {
    const connection = new QmpConnection(options);
    const late = setTimeout(() => {
      connection.#end(failed(`${options.path}: no QMP greeting within ${options.connectTimeoutMs} ms`));
    }, options.connectTimeoutMs);
    try {
      await connection.#orOver(connection.#greeted);
      await connection.#orOver(connection.#send('qmp_capabilities', undefined, options.connectTimeoutMs));
      return connection;
    } catch (error) {
      connection.close();
      throw error;
    } finally {
      clearTimeout(late);
    }
  }

  /** "7.2.22" */
  get version(): string {
    assert(this.#version !== null, 'open() waits for the greeting');
    return this.#version;
  }

  get isOpen(): boolean {
    return this.#over === null;
  }

  /**
   * Runs a command. Commands are carried out in the order in which they are sent.
   * @throws STORAGE_FAILED; `details.refusal` has the server's words when it was the server that refused. After a time-out
   * the connection is closed.
   */
  async execute<T>(command: string, args: object | undefined, result: z.ZodType<T>): Promise<T> {
    const value = await this.#send(command, args, this.#options.commandTimeoutMs);
    const checked = result.safeParse(value);
    if (checked.success) return checked.data;
    const error = failed(`${command}: the storage daemon's answer is not what QEMU documents`, checked.error);
    this.#end(error);
    throw error;
  }

  /**
   * The next event that matches, counted from the call: ask before sending the command that causes it, and cancel in the end.
   * Rejects with STORAGE_FAILED.
   */
  expectEvent(what: string, timeoutMs: number, matches: (event: QmpEvent) => boolean): ExpectedEvent {
    let waiter: Waiter | null = null;
    const event = new Promise<QmpEvent>((resolve, reject) => {
      if (this.#over !== null) return reject(this.#over);
      const timer = setTimeout(() => {
        if (waiter !== null) this.#waiters.delete(waiter);
        reject(failed(`the storage daemon did not tell within ${timeoutMs} ms that ${what}`));
      }, timeoutMs);
      waiter = { matches, resolve, reject, timer };
      this.#waiters.add(waiter);
    });
    return {
      event,
      cancel: () => {
        if (waiter === null) return;
        clearTimeout(waiter.timer);
        this.#waiters.delete(waiter);
      },
    };
  }

  /** Idempotent. Commands under way fail. */
  close(): void {
    this.#end(failed(`${this.#options.path}: the connection was closed`));
  }

  #send(command: string, args: object | undefined, timeoutMs: number): Promise<unknown> {
    return new Promise((resolve, reject) => {
      if (this.#over !== null) return reject(this.#over);
      this.#lastId += 1;
      const id = this.#lastId;
      const timer = setTimeout(() => {
        this.#end(failed(`${command}: no answer from the storage daemon within ${timeoutMs} ms`));
      }, timeoutMs);
      this.#pending.set(id, { command, resolve, reject, timer });
      const message = args === undefined ? { execute: command, id } : { execute: command, arguments: args, id };
      this.#socket.write(`${JSON.stringify(message)}\n`);
    });
  }

  async #orOver<T>(promise: Promise<T>): Promise<T> {
    const over = this.closed.then((reason) => Promise.reject(reason));
    return Promise.race([promise, over]);
  }

  #receive(bytes: Buffer): void {
    let rest = bytes;
    for (let at = rest.indexOf(NEWLINE); at !== -1 && this.#over === null; at = rest.indexOf(NEWLINE)) {
      this.#pieces.push(rest.subarray(0, at));
      const line = Buffer.concat(this.#pieces).toString('utf8').trim();
      this.#pieces = [];
      this.#pieceBytes = 0;
      rest = rest.subarray(at + 1);
      if (line !== '') this.#take(line);
    }
    if (rest.length === 0 || this.#over !== null) return;
    this.#pieces.push(rest);
    this.#pieceBytes += rest.length;
    if (this.#pieceBytes <= LINE_BYTES_MAX) return;
    this.#end(failed(`${this.#options.path}: a line of more than ${LINE_BYTES_MAX} bytes is no QMP`));
  }

  #take(line: string): void {
    try {
      this.#dispatch(parseMessage(line));
    } catch (error) {
      if (!(error instanceof UnderstudyError)) throw error;
      this.#end(error);
    }
  }

  #dispatch(message: QmpMessage): void {
    if (message.kind === 'event') {
      for (const waiter of this.#waiters) {
        if (!waiter.matches(message)) continue;
        this.#waiters.delete(waiter);
        clearTimeout(waiter.timer);
        waiter.resolve(message);
      }
      return;
    }
    if (message.kind === 'greeting') {
      if (this.#version !== null) throw failed('the storage daemon greeted twice');
      this.#version = message.version;
      this.#greet(message.version);
      return;
    }
    const found = message.id === null ? undefined : this.#pending.get(message.id);
    if (message.id === null || found === undefined) throw failed('the storage daemon answered what nobody asked');
    this.#pending.delete(message.id);
    clearTimeout(found.timer);
    if (message.kind === 'return') {
      found.resolve(message.value);
      return;
    }
    const text = `${found.command}: ${message.description}`;
    found.reject(new UnderstudyError('STORAGE_FAILED', text, { details: { refusal: message.description } }));
  }

  #end(reason: UnderstudyError): void {
    if (this.#over !== null) return;
    this.#over = reason;
    this.#socket.destroy();
    this.#pieces = [];
    for (const { timer, reject } of [...this.#pending.values(), ...this.#waiters]) {
      clearTimeout(timer);
      reject(reason);
    }
    this.#pending.clear();
    this.#waiters.clear();
    this.#close(reason);
  }
}

function failed(message: string, cause?: unknown): UnderstudyError {
  return new UnderstudyError('STORAGE_FAILED', message, { cause });
}

/** What the server said when it refused a command, or null when something else went wrong. */
export function refusalOf(error: unknown): string | null {
  const refusal = error instanceof UnderstudyError ? error.details.refusal : undefined;
  return typeof refusal === 'string' ? refusal : null;
}
