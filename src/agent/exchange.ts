// One HTTP request and its answer, bounded in time and size, over a connection of its own. Redirects are answers like
// others and are never followed: a token must not travel to where somebody else points.
import { type LookupAddress, type LookupOptions, lookup } from 'node:dns';
import { type IncomingMessage, request as requestPlain } from 'node:http';
import { type RequestOptions, request as requestTls } from 'node:https';
import { messageOf } from '../base/mod.ts';
import { trustProblem } from '../pki/mod.ts';
import type { AgentTls } from './tls.ts';

export interface ExchangeRequest {
  readonly url: URL;
  readonly method: 'GET' | 'POST';
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | null;
  /** For everything: name, connection, request and the whole answer. */
  readonly timeoutMs: number;
  readonly answerBytesMax: number;
  /** For TLS 1.3 with a controller; null: TLS as the system has it. */
  readonly tls: AgentTls | null;
  readonly signal: AbortSignal;
}

export type Exchanged =
  | { readonly kind: 'answer'; readonly status: number; readonly statusText: string; readonly body: string }
  /** `reason` is one line for people. */
  | { readonly kind: 'failure'; readonly reason: string; readonly timedOut: boolean };

/** Never rejects: what goes wrong on the way is an answer too. */
export function exchange(wanted: ExchangeRequest): Promise<Exchanged> {
  return new Promise((resolve) => {
    const request = (wanted.url.protocol === 'https:' ? requestTls : requestPlain)(wanted.url, optionsOf(wanted));
    const settle = (result: Exchanged): void => {
      clearTimeout(timer);
      wanted.signal.removeEventListener('abort', onAbort);
      resolve(result);
      request.destroy();
    };
    const fail = (reason: string, timedOut = false): void => settle({ kind: 'failure', reason, timedOut });
    const onAbort = (): void => fail('given up');
    const timer = setTimeout(() => fail(`no answer within ${wanted.timeoutMs} ms`, true), wanted.timeoutMs);
    wanted.signal.addEventListener('abort', onAbort, { once: true });
    request.on('error', (error) => fail(reasonOf(error)));
    request.on('response', (response) => collect(response, wanted.answerBytesMax, settle));
    if (wanted.signal.aborted) onAbort();
    else request.end(wanted.body ?? undefined);
  });
}

function optionsOf({ method, headers, body, tls }: ExchangeRequest): RequestOptions {
  return {
    method,
    headers: {
      'user-agent': 'understudy-agent',
      connection: 'close',
      ...(body === null ? {} : { 'content-length': String(Buffer.byteLength(body)) }),
      ...headers,
    },
    // A connection for each request: a kept one may be closed by the server at the very moment at which it is used
    // again, and users of the service mostly come with new ones.
    agent: false,
    lookup: sharedLookup,
    ...(tls === null ? {} : { minVersion: 'TLSv1.3' as const, ...tls.pair }),
    ...(tls === null || tls.authorityPem === null ? {} : { ca: tls.authorityPem }),
  };
}

function collect(response: IncomingMessage, bytesMax: number, settle: (result: Exchanged) => void): void {
  const chunks: Buffer[] = [];
  let bytes = 0;
  const fail = (reason: string): void => settle({ kind: 'failure', reason, timedOut: false });
  response.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes > bytesMax) fail(`the answer is longer than ${bytesMax} bytes`);
    else chunks.push(chunk);
  });
  response.on('error', (error) => fail(reasonOf(error)));
  response.on('end', () => {
    const { statusCode = 0, statusMessage = '' } = response;
    settle({ kind: 'answer', status: statusCode, statusText: statusMessage, body: Buffer.concat(chunks).toString() });
  });
}

const REASONS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connection refused',
  ECONNRESET: 'the connection was cut',
  EHOSTUNREACH: 'the host cannot be reached',
  ENETUNREACH: 'the network cannot be reached',
  ENOTFOUND: 'the name is not known',
  EAI_AGAIN: 'the name cannot be looked up now',
};

/** One line for people about a failed connection. */
export function reasonOf(error: unknown): string {
  const code = (error as { readonly code?: unknown }).code;
  const known = typeof code === 'string' ? REASONS[code] : undefined;
  return (known ?? trustProblem(error) ?? messageOf(error)).replaceAll(/\s+/g, ' ').slice(0, 160);
}

type LookedUp = (error: NodeJS.ErrnoException | null, address: string | LookupAddress[], family?: number) => void;
const waiting = new Map<string, LookedUp[]>();

/**
 * dns.lookup, asked once for all who wait for the same name: the C library's resolver cannot be stopped, and a request
 * a second for a name that takes ten to fail would fill its queue without end.
 */
function sharedLookup(name: string, options: LookupOptions, done: LookedUp): void {
  const key = JSON.stringify([name, options.family ?? 0, options.all === true]);
  const others = waiting.get(key);
  if (others !== undefined) {
    others.push(done);
    return;
  }
  const all = [done];
  waiting.set(key, all);
  lookup(name, options, (error, address, family) => {
    waiting.delete(key);
    for (const each of all) each(error, address, family);
  });
}
