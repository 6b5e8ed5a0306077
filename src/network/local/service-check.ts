// What a user of a service does, done once, and told in one line.
import { request, STATUS_CODES } from 'node:http';
import { connect, isIPv6 } from 'node:net';
import { assert, errnoOf, messageOf, UnderstudyError } from '../../base/mod.ts';
import type { Answer, ServiceCheck } from '../contract.ts';

const TIMEOUT_MS_DEFAULT = 5000;
/** Of a body: more is read by nobody, so an answer without end ends here. */
export const BODY_BYTES_MAX = 1024 * 1024;

/** Errors of this machine, that say nothing about the host. */
const OWN_FAULTS = [
  'EMFILE',
  'ENFILE',
  'ENOMEM',
  'ENOBUFS',
  'EACCES',
  'EPERM',
  'EADDRNOTAVAIL',
  'EAFNOSUPPORT',
  'EINVAL',
];
const IN_WORDS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connection refused',
  ECONNRESET: 'connection reset',
  EHOSTUNREACH: 'no route to the host',
  ENETUNREACH: 'no route to the network',
  ETIMEDOUT: 'connection timed out',
  EPIPE: 'connection reset',
};

/** What is seen of the host; `error` is turned into an answer or into NETWORK_FAILED. */
interface Sight {
  readonly ok: boolean;
  readonly detail: string;
}

/** @throws NETWORK_FAILED when the fault is this machine's, INTERRUPTED */
export async function checkService(address: string, check: ServiceCheck, signal: AbortSignal): Promise<Answer> {
  const timeoutMs = check.timeoutMs ?? TIMEOUT_MS_DEFAULT;
  assert(timeoutMs >= 100 && timeoutMs <= 60_000, 'a time-out of 100 to 60000 ms');
  const what = `check of ${address}, port ${check.port}`;
  if (signal.aborted) throw interrupted(what);
  const end = new AbortController();
  const interrupt = (): void => end.abort(interrupted(what));
  signal.addEventListener('abort', interrupt, { once: true });
  let seen = '';
  const late = setTimeout(() => end.abort(null), timeoutMs);
  const started = performance.now();
  try {
    const look = check.kind === 'tcp' ? lookTcp : lookHttp;
    const sight = await look(address, check, end.signal, (text) => {
      seen = text;
    });
    return { ...sight, milliseconds: performance.now() - started };
  } catch (error) {
    if (signal.aborted) throw interrupted(what);
    const milliseconds = performance.now() - started;
    if (end.signal.aborted) {
      const detail = seen === '' ? `no answer within ${timeoutMs} ms` : `${seen}, but no end within ${timeoutMs} ms`;
      return { ok: false, detail, milliseconds };
    }
    return { ok: false, detail: inWords(error, what), milliseconds };
  } finally {
    clearTimeout(late);
    signal.removeEventListener('abort', interrupt);
  }
}

function inWords(error: unknown, what: string): string {
  const code = errnoOf(error);
  if (code !== null && OWN_FAULTS.includes(code)) {
    throw new UnderstudyError('NETWORK_FAILED', `${what}: ${messageOf(error)}`, { cause: error });
  }
  const parser = error instanceof Error && 'code' in error && String(error.code).startsWith('HPE_');
  if (parser) return `the answer is not HTTP (${messageOf(error)})`;
  return (code === null ? null : IN_WORDS[code]) ?? messageOf(error);
}

function lookTcp(address: string, check: ServiceCheck, signal: AbortSignal): Promise<Sight> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: address, port: check.port });
    const end = (): void => {
      socket.destroy();
      reject(signal.reason);
    };
    signal.addEventListener('abort', end, { once: true });
    socket.on('error', reject);
    socket.on('connect', () => {
      signal.removeEventListener('abort', end);
      socket.destroy();
      resolve({ ok: true, detail: 'connected' });
    });
  });
}

/** RFC 9110: any 2xx or 3xx is an answer. A redirection is not followed: it may lead to another host. */
function lookHttp(
  address: string,
  check: ServiceCheck,
  signal: AbortSignal,
  tell: (seen: string) => void,
): Promise<Sight> {
  const { port, path = '/', contains = null } = check;
  const host = isIPv6(address) ? `[${address}]` : address;
  return new Promise((resolve, reject) => {
    const headers = { Host: port === 80 ? host : `${host}:${port}`, 'User-Agent': 'understudy', Connection: 'close' };
    const sent = request({ host: address, port, path, headers, agent: false });
    const end = (): void => {
      sent.destroy();
      reject(signal.reason);
    };
    signal.addEventListener('abort', end, { once: true });
    const done = (sight: Sight): void => {
      signal.removeEventListener('abort', end);
      sent.destroy();
      resolve(sight);
    };
    sent.on('error', reject);
    const unanswered = (): void => reject(new Error('closed without an answer'));
    sent.on('close', unanswered);
    sent.on('response', (response) => {
      sent.off('close', unanswered);
      const status = response.statusCode ?? 0;
      const head = `${status} ${STATUS_CODES[status] ?? ''}`.trim();
      const good = status >= 200 && status < 400;
      const body = new BodyReader(contains);
      tell(head);
      response.on('data', (part: Buffer) => {
        body.add(part);
        tell(`${head}, ${body.bytes} bytes`);
        if (body.bytes > BODY_BYTES_MAX) done(sightOf(head, good, body, `more than ${BODY_BYTES_MAX} bytes`));
      });
      const cut = (): void => done({ ok: false, detail: `${head}, cut off after ${body.bytes} bytes` });
      response.on('end', () => done(sightOf(head, good, body, `${body.bytes} bytes`)));
      response.on('error', cut);
      response.on('close', cut);
    });
    sent.end();
  });
}

function sightOf(head: string, good: boolean, body: BodyReader, size: string): Sight {
  const missing = body.missing;
  const detail = `${head}, ${size}${missing === null ? '' : `, without ${JSON.stringify(missing)}`}`;
  return { ok: good && missing === null, detail };
}

/** Counts a body and looks for a text in it, also where it is divided between two parts. */
class BodyReader {
  bytes = 0;
  readonly #wanted: Buffer | null;
  #found: boolean;
  #rest = Buffer.alloc(0);

  constructor(contains: string | null) {
    this.#wanted = contains === null ? null : Buffer.from(contains);
    this.#found = this.#wanted === null;
  }

  add(part: Buffer): void {
    this.bytes += part.length;
    if (this.#found || this.#wanted === null) return;
    const joined = Buffer.concat([this.#rest, part]);
    this.#found = joined.includes(this.#wanted);
    this.#rest = joined.subarray(Math.max(0, joined.length - this.#wanted.length + 1));
  }

  /** The text that was wanted and has not come, or null. */
  get missing(): string | null {
    return this.#found ? null : (this.#wanted?.toString() ?? null);
  }
}

function interrupted(what: string): UnderstudyError {
  return new UnderstudyError('INTERRUPTED', `${what}: stopped by its caller`);
}
