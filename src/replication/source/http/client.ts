// One request to an HTTP server: certificates, proxies, credentials, redirects and time-outs. What fails is a HttpFailure.
import { existsSync, readFileSync } from 'node:fs';
import { rootCertificates } from 'node:tls';
import type { Dispatcher } from 'undici';
import { limits, messageOf, UnderstudyError } from '../../../base/mod.ts';
import { headerOf, type IncomingHttpHeaders } from './answer.ts';
import { HttpFailure, networkFailure } from './failure.ts';
import { mendSockets } from './paused-end.ts';

export interface ClientOptions {
  /** With the credentials. */
  readonly url: URL;
  /** What the user called it, without the credentials: for messages. */
  readonly uri: string;
  readonly insecure: boolean;
  /** A file with certificates of authorities that are trusted besides those of the system. */
  readonly cacert: string | null;
  /** Longest silence: for a connection, for an answer, for the next byte of it. */
  readonly timeoutMs: number;
}

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  /** To be read or destroyed. */
  readonly body: Dispatcher.ResponseData['body'];
}

const REDIRECTS: readonly number[] = [301, 302, 303, 307, 308];
/** Answers of a place that a redirect named, which may stand for a link that is valid for a time only. */
const LINK_EXPIRED: readonly number[] = [400, 401, 403, 404, 410];

/** Where distributions keep the certificates of the authorities that they trust. */
const SYSTEM_AUTHORITIES = [
  '/etc/ssl/certs/ca-certificates.crt',
  '/etc/pki/tls/certs/ca-bundle.crt',
  '/etc/ssl/ca-bundle.pem',
  '/etc/ssl/cert.pem',
];

/** Bytes of a body that are kept in memory ahead of who reads it. */
const BODY_AHEAD_BYTES = 256 * limits.KIB;

export class HttpClient {
  readonly #options: ClientOptions;
  readonly #dispatcher: Dispatcher;
  readonly #request: typeof import('undici').request;
  readonly #authorization: string | null;
  readonly #origin: string;
  readonly #start: URL;
  /** Where redirects led to; asked directly from then on. */
  #place: URL;

  private constructor(options: ClientOptions, undici: typeof import('undici')) {
    this.#options = options;
    this.#request = undici.request;
    this.#authorization = authorizationOf(options);
    this.#start = new URL(options.url);
    this.#start.username = '';
    this.#start.password = '';
    this.#start.hash = '';
    this.#origin = this.#start.origin;
    this.#place = this.#start;
    this.#dispatcher = dispatcherOf(options, undici);
  }

  /** @throws USAGE for credentials that are wrongly escaped and a file of certificates that cannot be read */
  static async create(options: ClientOptions): Promise<HttpClient> {
    // Loaded by who needs it: the many copies of files do not pay for it.
    const undici = await import('undici');
    mendSockets();
    return new HttpClient(options, undici);
  }

  /** @throws HttpFailure */
  async get(headers: Readonly<Record<string, string>>, signal: AbortSignal): Promise<Answer> {
    const direct = this.#place;
    if (direct === this.#start) return this.#follow(headers, signal);
    let answer: Answer;
    try {
      answer = await this.#ask(direct, headers, signal);
    } catch (failure) {
      this.#place = this.#start;
      throw failure;
    }
    if (!LINK_EXPIRED.includes(answer.status) && !REDIRECTS.includes(answer.status)) return answer;
    discard(answer);
    return this.#follow(headers, signal);
  }

  async #follow(headers: Readonly<Record<string, string>>, signal: AbortSignal): Promise<Answer> {
    const { uri } = this.#options;
    let place = this.#start;
    for (let redirects = 0; ; redirects++) {
      const answer = await this.#ask(place, headers, signal);
      if (!REDIRECTS.includes(answer.status)) {
        this.#place = place;
        return answer;
      }
      discard(answer);
      if (redirects === limits.HTTP_REDIRECTS_MAX) {
        throw refused(`${uri}: the server redirects more than ${limits.HTTP_REDIRECTS_MAX} times`);
      }
      place = this.#nextPlace(place, headerOf(answer.headers, 'location'));
    }
  }

  #nextPlace(from: URL, location: string | null): URL {
    const { uri } = this.#options;
    const next = location === null ? null : parse(location, from);
    if (next === null) throw refused(`${uri}: the server redirects to nowhere`);
    // What a server writes into a URL of its own is no business of ours, and would be shown to others.
    next.username = '';
    next.password = '';
    next.hash = '';
    if (next.protocol !== 'http:' && next.protocol !== 'https:') {
      throw refused(`${uri}: the server redirects to ${next.protocol}, which is neither http: nor https:`);
    }
    if (from.protocol === 'https:' && next.protocol === 'http:') {
      const why = 'where nobody vouches for the bytes; name that URL if they are wanted all the same';
      throw refused(`${uri}: the server redirects from https to ${next.origin} without TLS, ${why}`);
    }
    return next;
  }

  async #ask(place: URL, headers: Readonly<Record<string, string>>, signal: AbortSignal): Promise<Answer> {
    const { uri, timeoutMs } = this.#options;
    // Credentials are for the server that they were given for, and for no other that it names.
    const own = place.origin === this.#origin && this.#authorization !== null;
    try {
      const {
        statusCode,
        headers: answered,
        body,
      } = await this.#request(place, {
        dispatcher: this.#dispatcher,
        method: 'GET',
        headers: {
          accept: '*/*',
          'accept-encoding': 'identity',
          'user-agent': 'understudy',
          ...headers,
          ...(own ? { authorization: this.#authorization ?? '' } : {}),
        },
        headersTimeout: timeoutMs,
        bodyTimeout: timeoutMs,
        highWaterMark: BODY_AHEAD_BYTES,
        signal,
      });
      // A body that is given up fails without anybody who listens.
      body.on('error', () => undefined);
      return { status: statusCode, headers: answered, body };
    } catch (cause) {
      if (signal.aborted) throw signal.reason;
      throw networkFailure(uri, cause, timeoutMs);
    }
  }

  /** The failure of a body that could not be read to its end. */
  failureOf(cause: unknown): HttpFailure {
    return cause instanceof HttpFailure ? cause : networkFailure(this.#options.uri, cause, this.#options.timeoutMs);
  }

  async close(): Promise<void> {
    await this.#dispatcher.destroy();
  }
}

/** Gives an answer up; its connection ends. */
export function discard(answer: Answer): void {
  answer.body.destroy();
}

function refused(message: string): HttpFailure {
  return new HttpFailure('SOURCE_UNREADABLE', message, { retry: false });
}

function parse(location: string, base: URL): URL | null {
  try {
    return new URL(location, base);
  } catch {
    return null;
  }
}

function authorizationOf({ url, uri }: ClientOptions): string | null {
  if (url.username === '' && url.password === '') return null;
  try {
    const pair = `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`;
    return `Basic ${Buffer.from(pair).toString('base64')}`;
  } catch (cause) {
    throw new UnderstudyError('USAGE', `${uri}: the user name or password in the URL is wrongly escaped`, { cause });
  }
}

function dispatcherOf(options: ClientOptions, { Agent, EnvHttpProxyAgent }: typeof import('undici')): Dispatcher {
  const { url, uri, timeoutMs } = options;
  const halfOpen = { allowHalfOpen: true, timeout: timeoutMs };
  const tls = { ca: authorities(options), rejectUnauthorized: !options.insecure, ...halfOpen };
  // Encoded bodies are taken as they come, so nothing is asked of a second version of the protocol.
  const common = {
    connect: tls,
    headersTimeout: timeoutMs,
    bodyTimeout: timeoutMs,
    connections: 2 * limits.READS_IN_FLIGHT,
    allowH2: false,
  };
  const env = process.env;
  const httpProxy = env.http_proxy ?? env.HTTP_PROXY ?? '';
  const httpsProxy = env.https_proxy ?? env.HTTPS_PROXY ?? '';
  // A redirect can lead from one to the other; https goes the direct way where only http has a proxy, as with curl(1).
  if (httpProxy === '' && httpsProxy === '') return new Agent(common);
  if (httpsProxy === '' && url.protocol === 'https:') return new Agent(common);
  try {
    return new EnvHttpProxyAgent({
      ...common,
      ...(httpsProxy === '' ? {} : { httpsProxy }),
      httpProxy,
      proxyTunnel: false,
      requestTls: tls,
      proxyTls: { ca: authorities(options), ...halfOpen },
    });
  } catch (cause) {
    throw new UnderstudyError('USAGE', `${uri}: the proxy that http_proxy or https_proxy names: ${messageOf(cause)}`, {
      cause,
    });
  }
}

/** Those of the system, of SSL_CERT_FILE and NODE_EXTRA_CA_CERTS, and of --cacert. */
function authorities({ cacert, uri }: ClientOptions): string[] {
  const system = process.env.SSL_CERT_FILE ?? SYSTEM_AUTHORITIES.find((path) => existsSync(path));
  const extra = process.env.NODE_EXTRA_CA_CERTS;
  const texts = system === undefined ? [...rootCertificates] : [pem(system, 'SSL_CERT_FILE', uri)];
  if (extra !== undefined && extra !== '') texts.push(pem(extra, 'NODE_EXTRA_CA_CERTS', uri));
  if (cacert !== null) texts.push(pem(cacert, '--cacert', uri));
  return texts;
}

function pem(path: string, from: string, uri: string): string {
  let text: string;
  try {
    text = readFileSync(path, 'latin1');
  } catch (cause) {
    throw new UnderstudyError('USAGE', `${uri}: ${from}: ${path} cannot be read: ${messageOf(cause)}`, { cause });
  }
  if (text.includes('-----BEGIN CERTIFICATE-----') || text.includes('-----BEGIN TRUSTED CERTIFICATE-----')) return text;
  throw new UnderstudyError('USAGE', `${uri}: ${from}: ${path} holds no certificate in PEM form`);
}
