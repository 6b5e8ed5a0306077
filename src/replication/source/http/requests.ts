// Requests for one moment of one file: each answer is held to the first one.
import { setMaxListeners } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { assert, limits, UnderstudyError } from '../../../base/mod.ts';
import {
  contentLength,
  headerOf,
  isSame,
  parseContentRange,
  type Representation,
  representationOf,
  unsatisfiedTotal,
} from './answer.ts';
import { type Answer, discard, HttpClient } from './client.ts';
import { HttpFailure, Patience, RETRY, type RetryOptions, statusFailure } from './failure.ts';

export interface HttpSourceOptions {
  /** With user name and password, if any. */
  readonly url: URL;
  /** What the user called it, without them. */
  readonly uri: string;
  readonly insecure?: boolean;
  /** File with certificates of authorities that are trusted besides those of the system. */
  readonly cacert?: string | null;
  /** Longest silence of the server. @default UNDERSTUDY_HTTP_TIMEOUT_MS of the environment, or limits.IO_TIMEOUT_MS */
  readonly timeoutMs?: number;
  readonly retry?: RetryOptions;
}

export class Requests {
  readonly uri: string;
  readonly #client: HttpClient;
  readonly #retry: RetryOptions;
  readonly #closing = new AbortController();
  #representation: Representation | null = null;

  private constructor(client: HttpClient, { uri, retry }: HttpSourceOptions) {
    this.uri = uri;
    this.#client = client;
    this.#retry = retry ?? RETRY;
    // Every request in flight listens, and QEMU may ask for many things at once.
    setMaxListeners(0, this.#closing.signal);
  }

  /** @throws USAGE */
  static async create(options: HttpSourceOptions): Promise<Requests> {
    const client = await HttpClient.create({
      url: options.url,
      uri: options.uri,
      insecure: options.insecure ?? false,
      cacert: options.cacert ?? null,
      timeoutMs: options.timeoutMs ?? timeoutFromEnvironment(),
    });
    return new Requests(client, options);
  }

  /** What the first answer said. */
  get representation(): Representation {
    assert(this.#representation !== null, 'the server has answered');
    return this.#representation;
  }

  /** From here on every answer has to be about this; null: begin again. */
  holdTo(representation: Representation | null): void {
    this.#representation = representation;
  }

  /** Any answer but one that says to try again later. @throws HttpFailure */
  async get(headers: Readonly<Record<string, string>>): Promise<Answer> {
    return this.#client.get(headers, this.#closing.signal);
  }

  /** Bytes `start` to `end` (included) of the moment that the first answer was about. @throws HttpFailure, SOURCE_CHANGED */
  async range(start: number, end: number): Promise<Answer> {
    const { strong, sizeBytes } = this.representation;
    assert(strong !== null && sizeBytes !== null, 'ranges were proved');
    const answer = await this.get({ range: `bytes=${start}-${end}`, 'if-range': strong });
    if (answer.status === 206) {
      this.requireSame(answer);
      if (isRange(answer, start, end, sizeBytes)) return answer;
      discard(answer);
      throw this.lie('another range than it was asked for');
    }
    if (answer.status === 200) {
      // With If-Range this is the answer for a file that is another by now (RFC 9110, 13.1.5).
      this.requireSame(answer);
      discard(answer);
      throw this.lie('the whole file in place of a range');
    }
    if (answer.status === 416) {
      discard(answer);
      const total = unsatisfiedTotal(answer.headers);
      if (total !== null && total !== sizeBytes) throw this.changed();
      throw this.lie('that a range of the file lies outside of it');
    }
    throw this.refusal(answer);
  }

  /** @throws SOURCE_CHANGED when an answer is about another content than the first one was */
  requireSame(answer: Answer): void {
    if (isSame(this.representation, representationOf(answer.status, answer.headers), answer.status)) return;
    discard(answer);
    throw this.changed();
  }

  /** Why an answer that gives nothing of the file gives nothing. */
  refusal(answer: Answer): HttpFailure {
    discard(answer);
    if (answer.status >= 300) return statusFailure(this.uri, answer.status, answer.headers);
    const message = `${this.uri}: the server answers ${answer.status} in place of the file`;
    return new HttpFailure('SOURCE_UNAVAILABLE', message, { retry: false });
  }

  lie(what: string): HttpFailure {
    return new HttpFailure('SOURCE_UNAVAILABLE', `${this.uri}: the server answers ${what}`, { retry: true });
  }

  changed(): UnderstudyError {
    return new UnderstudyError(
      'SOURCE_CHANGED',
      `${this.uri} was replaced on the server while it was copied; copy it again from the start`,
    );
  }

  /** A failure of a body in our words. */
  failureOf(cause: unknown): unknown {
    if (cause instanceof UnderstudyError) return cause;
    if (this.#closing.signal.aborted) return this.#closing.signal.reason;
    return this.#client.failureOf(cause);
  }

  patience(): Patience {
    const { signal } = this.#closing;
    return new Patience(this.#retry, (ms) =>
      delay(ms, undefined, { signal }).catch(() => {
        throw signal.reason;
      }),
    );
  }

  /** Reads a body into `target` from `at` to its last byte; `progress` is told of what came. @throws HttpFailure */
  async fill(answer: Answer, target: Uint8Array, at: number, progress?: (bytes: number) => void): Promise<void> {
    let filled = at;
    try {
      for await (const chunk of answer.body as AsyncIterable<Uint8Array>) {
        if (filled + chunk.byteLength > target.byteLength) throw this.lie('more bytes than it announces');
        target.set(chunk, filled);
        filled += chunk.byteLength;
        progress?.(chunk.byteLength);
      }
    } catch (cause) {
      throw this.failureOf(cause);
    }
    if (filled < target.byteLength) throw this.lie('fewer bytes than it announces');
  }

  /** Whatever is in flight or waits ends with INTERRUPTED. Idempotent. */
  async close(): Promise<void> {
    this.#closing.abort(new UnderstudyError('INTERRUPTED', `${this.uri}: the reading was ended`));
    await this.#client.close();
  }
}

/** Whether a 206 carries exactly this range of a file of that length. */
export function isRange({ headers }: Answer, start: number, end: number, total: number): boolean {
  const range = parseContentRange(headerOf(headers, 'content-range'));
  if (range === null || range.start !== start || range.end !== end || range.total !== total) return false;
  const unsaid = headers['content-length'] === undefined;
  return unsaid || contentLength(headers) === end - start + 1;
}

function timeoutFromEnvironment(): number {
  const text = process.env.UNDERSTUDY_HTTP_TIMEOUT_MS ?? '';
  return /^[1-9]\d{0,8}$/.test(text) ? Number(text) : limits.IO_TIMEOUT_MS;
}
