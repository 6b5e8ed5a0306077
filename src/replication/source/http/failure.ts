// What can go wrong between a server and us, in the registry's words, and whether another try can help.
import { type ErrorCode, errnoOf, limits, messageOf, UnderstudyError } from '../../../base/mod.ts';
import { headerOf, type IncomingHttpHeaders } from './answer.ts';

interface FailureOptions {
  readonly retry: boolean;
  readonly afterMs?: number | null;
  readonly absent?: boolean;
  readonly cause?: unknown;
}

/** One failed try of a request. */
export class HttpFailure extends Error {
  readonly error: UnderstudyError;
  readonly retry: boolean;
  /** The pause that the server asks for. */
  readonly afterMs: number | null;
  /** There is no such server. */
  readonly absent: boolean;

  constructor(code: ErrorCode, message: string, options: FailureOptions) {
    super(message, { cause: options.cause });
    this.error = new UnderstudyError(code, message, { cause: options.cause });
    this.retry = options.retry;
    this.afterMs = options.afterMs ?? null;
    this.absent = options.absent ?? false;
  }
}

/** A failure as the engine knows errors. */
export function errorOf(failure: unknown): unknown {
  return failure instanceof HttpFailure ? failure.error : failure;
}

/** Statuses after which the same request can succeed (RFC 9110, 15; RFC 6585, 4; RFC 8470, 5.2). */
const PASSING: readonly number[] = [408, 421, 425, 429, 500, 502, 503, 504];

const CODES: { readonly [status: number]: ErrorCode } = {
  401: 'SOURCE_UNREADABLE',
  403: 'SOURCE_UNREADABLE',
  404: 'SOURCE_NOT_FOUND',
  407: 'SOURCE_UNREADABLE',
  410: 'SOURCE_NOT_FOUND',
  451: 'SOURCE_UNREADABLE',
};

const HINTS: { readonly [status: number]: string } = {
  401: 'it wants a user name and a password: https://USER:PASSWORD@HOST/...',
  403: 'it does not allow this file to be read; a signed URL may have expired',
  404: 'it has no such file',
  407: 'the proxy wants a user name and a password: http_proxy=http://USER:PASSWORD@HOST:PORT',
  410: 'it has this file no longer',
  429: 'it gets more requests than it allows; try again later',
  503: 'it is overloaded or being maintained; try again later',
};

/** Of an answer that does not give what was asked for. */
export function statusFailure(uri: string, status: number, headers: IncomingHttpHeaders): HttpFailure {
  const retry = PASSING.includes(status);
  const code = CODES[status] ?? (status >= 500 || retry ? 'SOURCE_UNAVAILABLE' : 'SOURCE_UNREADABLE');
  const hint = HINTS[status] === undefined ? '' : `: ${HINTS[status]}`;
  return new HttpFailure(code, `${uri}: the server answers ${status}${hint}`, {
    retry,
    afterMs: retryAfterMs(headerOf(headers, 'retry-after')),
  });
}

/** Seconds or a date (RFC 9110, 10.2.3). */
function retryAfterMs(text: string | null): number | null {
  if (text === null) return null;
  const ms = /^\d{1,9}$/.test(text) ? Number(text) * 1000 : Date.parse(text) - Date.now();
  return Number.isFinite(ms) ? Math.max(0, ms) : null;
}

const CERTIFICATE: { readonly [code: string]: string } = {
  DEPTH_ZERO_SELF_SIGNED_CERT: 'it signed its certificate itself',
  SELF_SIGNED_CERT_IN_CHAIN: 'an authority that this machine does not know signed its certificate',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'an authority that this machine does not know signed its certificate',
  UNABLE_TO_GET_ISSUER_CERT: 'an authority that this machine does not know signed its certificate',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'an authority that this machine does not know signed its certificate',
  CERT_HAS_EXPIRED: 'its certificate has expired',
  CERT_NOT_YET_VALID: 'its certificate is not valid yet (or the clock of this machine is wrong)',
  CERT_REVOKED: 'its certificate has been revoked',
  CERT_UNTRUSTED: 'its certificate is not trusted',
  CERT_SIGNATURE_FAILURE: 'the signature of its certificate is wrong',
  INVALID_CA: 'an authority in the chain of its certificate may not sign certificates',
  INVALID_PURPOSE: 'its certificate is not one for servers',
  PATH_LENGTH_EXCEEDED: 'the chain of its certificate is too long',
};

/** What undici, TLS and the system call a failed connection. */
export function networkFailure(uri: string, cause: unknown, timeoutMs: number): HttpFailure {
  const code = innermostCode(cause);
  const seconds = timeoutMs / 1000;
  if (CERTIFICATE[code] !== undefined || code === 'ERR_TLS_CERT_ALTNAME_INVALID') {
    const why = CERTIFICATE[code] ?? 'its certificate is for another name';
    const hint = '--cacert FILE names an authority to trust; with --insecure the certificate is not checked';
    return new HttpFailure('SOURCE_UNREADABLE', `${uri}: the certificate of the server is refused: ${why}; ${hint}`, {
      retry: false,
      cause,
    });
  }
  const fail = (errorCode: ErrorCode, why: string, retry = true): HttpFailure =>
    new HttpFailure(errorCode, `${uri}: ${why}`, { retry, cause });
  const absent = (why: string): HttpFailure =>
    new HttpFailure('SOURCE_UNAVAILABLE', `${uri}: ${why}`, { retry: true, absent: true, cause });
  switch (code) {
    case 'UND_ERR_CONNECT_TIMEOUT':
    case 'ETIMEDOUT':
      return fail('SOURCE_TIMEOUT', `the server does not accept a connection within ${seconds} seconds`);
    case 'UND_ERR_HEADERS_TIMEOUT':
      return fail('SOURCE_TIMEOUT', `the server does not answer within ${seconds} seconds`);
    case 'UND_ERR_BODY_TIMEOUT':
      return fail('SOURCE_TIMEOUT', `the server sends nothing for ${seconds} seconds`);
    case 'ENOTFOUND':
      return absent('the name of the server cannot be resolved');
    case 'EAI_AGAIN':
      return fail('SOURCE_UNAVAILABLE', 'the name server does not answer');
    case 'ECONNREFUSED':
      return absent('the server refuses the connection');
    case 'EHOSTUNREACH':
    case 'ENETUNREACH':
    case 'ENETDOWN':
      return absent('the server cannot be reached');
    case 'ECONNRESET':
    case 'EPIPE':
    case 'UND_ERR_SOCKET':
      return fail('SOURCE_UNAVAILABLE', 'the server closes the connection before its answer is complete');
    case 'UND_ERR_RES_CONTENT_LENGTH_MISMATCH':
      return fail('SOURCE_UNAVAILABLE', 'the answer of the server does not have the length that it announced');
    case 'UND_ERR_HEADERS_OVERFLOW':
      return fail('SOURCE_UNAVAILABLE', 'the headers of the answer are too long', false);
  }
  if (/^(EPROTO|ERR_SSL_|ERR_TLS_)/.test(code)) {
    return fail(
      'SOURCE_UNAVAILABLE',
      `no TLS connection can be made: ${messageOf(deepest(cause)).split('\n')[0]}`,
      false,
    );
  }
  const text = messageOf(cause);
  if (/Proxy/i.test(text)) {
    const status = /\((\d{3})\)/.exec(text)?.[1] ?? '';
    const refused = status === '407' ? `: ${HINTS[407]}` : '';
    return fail('SOURCE_UNREADABLE', `the proxy refuses the connection to the server (${status})${refused}`, false);
  }
  if (/HTTP\/1\.1 protocol/.test(text)) return fail('SOURCE_UNAVAILABLE', 'the server does not answer in HTTP');
  return fail('SOURCE_UNAVAILABLE', text);
}

function deepest(error: unknown): unknown {
  let last = error;
  for (let depth = 0; depth < 8 && last instanceof Error && last.cause !== undefined; depth++) last = last.cause;
  return last;
}

/** Connections to several addresses of a name fail as one error with several in it. */
function innermostCode(error: unknown): string {
  let last = error;
  for (let depth = 0; depth < 8; depth++) {
    const inner = last instanceof AggregateError ? last.errors[0] : last instanceof Error ? last.cause : undefined;
    if (inner === undefined) break;
    last = inner;
  }
  const code = (last as { code?: unknown } | undefined)?.code;
  if (typeof code === 'string') return code;
  const outer = (error as { code?: unknown } | undefined)?.code;
  return typeof outer === 'string' ? outer : (errnoOf(error) ?? '');
}

/** What the wait between tries depends on. */
export interface RetryOptions {
  readonly retriesMax: number;
  readonly delayMs: number;
  /** Uniform in [0, 1). */
  readonly random: () => number;
}

export const RETRY: RetryOptions = {
  retriesMax: limits.HTTP_RETRIES_MAX,
  delayMs: limits.HTTP_RETRY_DELAY_MS,
  random: Math.random,
};

/** How much longer a request is tried. */
export class Patience {
  readonly #options: RetryOptions;
  readonly #wait: (ms: number) => Promise<void>;
  #failures = 0;

  /** `wait` rejects when the source is closed. */
  constructor(options: RetryOptions, wait: (ms: number) => Promise<void>) {
    this.#options = options;
    this.#wait = wait;
  }

  /** Something new came: what follows is counted from nought. */
  progressed(): void {
    this.#failures = 0;
  }

  /**
   * Waits before the next try, longer each time, and not as long as others who failed at the same moment. @throws when
   * there is none
   */
  async after(failure: unknown): Promise<void> {
    if (!(failure instanceof HttpFailure)) throw failure;
    if (!failure.retry) throw failure.error;
    const { retriesMax, delayMs, random } = this.#options;
    const asked = failure.afterMs ?? 0;
    this.#failures += 1;
    if (this.#failures > retriesMax || asked > limits.HTTP_RETRY_AFTER_MS_MAX) {
      const { code, message } = failure.error;
      const tries =
        asked > limits.HTTP_RETRY_AFTER_MS_MAX
          ? `, and asks for a pause of ${asked / 1000} seconds`
          : ` (tried ${this.#failures} times)`;
      throw new UnderstudyError(code, message + tries, { cause: failure });
    }
    const backOffMs = Math.min(delayMs * 2 ** (this.#failures - 1), limits.HTTP_RETRY_DELAY_MS_MAX);
    await this.#wait(Math.max(asked, backOffMs * (0.5 + random() / 2)));
  }
}
