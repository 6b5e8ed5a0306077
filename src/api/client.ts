// The interface as a library: one method a route, errors with the controller's codes, time-outs on everything.
import type { Dispatcher } from 'undici';
import { codeOf, errnoOf, isErrorCode, isLoopback, messageOf, UnderstudyError } from '../base/mod.ts';
import type {
  AuditView,
  DecisionView,
  DismissalView,
  EngagementView,
  EventView,
  HoldView,
  InspectionView,
  UnusableRecordView,
} from '../controller/mod.ts';
import { trustProblem } from '../pki/mod.ts';
import type { PowerState } from '../power/mod.ts';
import { event as eventSchema, type ReloadView, type StatusAnswer } from './answers.ts';
import { readMessages } from './event-reader.ts';

/** Longest answer taken. */
const ANSWER_BYTES_MAX = 64 * 1024 * 1024;
const CALL_MS = 40_000;
/** Switching waits for the host. */
const POWER_MS = 3_600_000;
/** Of a disk, by a controller that may take five minutes for it. */
const INSPECT_MS = 330_000;
/** By a controller that may take two minutes for it. */
const RELOAD_MS = 130_000;
const SILENCE_MS = 35_000;

export interface ClientOptions {
  /** "https://10.20.0.1:7780"; http only to this machine itself, unless `insecure`. */
  readonly url: string;
  /** null: the certificate says who asks. */
  readonly token: string | null;
  /** How an https server is checked. @default by the system's authorities, and with no certificate of our own */
  readonly tls?: ClientTls;
  /** http to other machines is allowed. @default false */
  readonly insecure?: boolean;
  /** Ends calls and streams: INTERRUPTED. */
  readonly signal?: AbortSignal;
  /** Of one call. @default 40000 */
  readonly callTimeoutMs?: number;
  /** After so long without a word a stream is begun again. The server speaks every ten seconds. @default 35000 */
  readonly silenceMs?: number;
}

export interface ClientTls {
  /** PEM; null: the system's. */
  readonly authorityPem: string | null;
  /** Shown to the server, PEM; null: none. */
  readonly pair: { readonly cert: string; readonly key: string } | null;
  /** The name that the server's certificate has to be for; null: that of the URL. */
  readonly serverName: string | null;
}

/**
 * @throws the controller's errors with their codes; API_UNAVAILABLE when it cannot be reached or answers nonsense;
 *   API_TIMEOUT; API_UNTRUSTED when it is not the controller that was meant; INTERRUPTED
 */
export interface Client {
  /** Resolves when the server answers, whoever asks. */
  alive(): Promise<unknown>;
  status(): Promise<StatusAnswer>;
  decisions(service: string, limit?: number): Promise<readonly DecisionView[]>;
  engagement(name: string): Promise<EngagementView>;
  /** The newest first. */
  engagements(limit?: number): Promise<readonly EngagementView[]>;
  clone(request: { readonly lead: string; readonly to: string }): Promise<{ readonly engagement: string }>;
  /** @param request `holdSeconds`: without it the controller's default */
  dismiss(
    request: Subject & { readonly force?: boolean; readonly holdSeconds?: number },
  ): Promise<{ readonly engagement: string }>;
  /** What a dismissal by force would do. */
  dismissal(subject: Subject): Promise<DismissalView>;
  records(): Promise<readonly UnusableRecordView[]>;
  removeRecord(record: { readonly key: string; readonly revision: number }): Promise<void>;
  /** @param forSeconds null: until it is resumed */
  pause(service: string, forSeconds: number | null): Promise<{ readonly hold: HoldView }>;
  resume(service: string): Promise<{ readonly lifted: readonly HoldView[] }>;
  /** @returns `engagement`: the one that ends because of it */
  maintenance(
    host: string,
    state: 'on' | 'off',
  ): Promise<{ readonly hold: HoldView | null; readonly engagement: string | null }>;
  acknowledge(engagement: string): Promise<{ readonly engagement: string }>;
  approve(plan: string): Promise<{ readonly engagement: string }>;
  power(host: string, state: 'on' | 'off'): Promise<{ readonly power: PowerState }>;
  inspect(host: string): Promise<InspectionView>;
  /** Has understudy.yaml read again; `dryRun`: only tells what would change. */
  reload(dryRun: boolean): Promise<ReloadView>;
  /** The oldest first. @param sinceMs milliseconds since 1970; null: all that is kept */
  audit(sinceMs: number | null): Promise<readonly AuditView[]>;
  /**
   * Events after a revision; null: new ones. A connection that breaks is made again from where it was, until the
   * controller has been away for `patienceMs`, which throws.
   * @param patienceMs @default 60000
   */
  events(after: number | null, patienceMs?: number): AsyncIterable<EventView>;
}

type Subject = { readonly host: string } | { readonly engagement: string };

/** @throws API_INSECURE for http beyond this machine */
export function createClient(options: ClientOptions): Client {
  const call = new Caller(options);
  const part = encodeURIComponent;
  return {
    alive: () => call.get('/healthz'),
    status: () => call.get('/v1/status'),
    decisions: async (service, limit = 20) => {
      const path = `/v1/services/${part(service)}/decisions?limit=${limit}`;
      return (await call.get<{ readonly decisions: readonly DecisionView[] }>(path)).decisions;
    },
    engagement: (name) => call.get(`/v1/engagements/${part(name)}`),
    engagements: async (limit = 100) =>
      (await call.get<{ readonly engagements: readonly EngagementView[] }>(`/v1/engagements?limit=${limit}`))
        .engagements,
    clone: (request) => call.post('/v1/clone', request),
    dismiss: (request) => call.post('/v1/dismiss', request),
    dismissal: (subject) => call.post('/v1/dismissal', subject),
    records: async () => (await call.get<{ readonly records: readonly UnusableRecordView[] }>('/v1/records')).records,
    removeRecord: async ({ key, revision }) => {
      await call.post('/v1/records/remove', { key, revision });
    },
    pause: (service, forSeconds) => {
      return call.post(`/v1/services/${part(service)}/pause`, forSeconds === null ? {} : { forSeconds });
    },
    resume: (service) => call.post(`/v1/services/${part(service)}/resume`, {}),
    maintenance: (host, state) => call.post(`/v1/hosts/${part(host)}/maintenance`, { state }),
    acknowledge: (engagement) => call.post(`/v1/engagements/${part(engagement)}/acknowledge`, {}),
    approve: (plan) => call.post('/v1/approve', { plan }),
    power: (host, state) => call.post(`/v1/hosts/${part(host)}/power`, { state }, POWER_MS),
    inspect: (host) => call.get(`/v1/hosts/${part(host)}/inspection`, INSPECT_MS),
    reload: (dryRun) => call.post('/v1/reload', { dryRun }, RELOAD_MS),
    audit: async (sinceMs) => {
      const query = sinceMs === null ? '' : `?since=${encodeURIComponent(new Date(sinceMs).toISOString())}`;
      return (await call.get<{ readonly entries: readonly AuditView[] }>(`/v1/audit${query}`)).entries;
    },
    events: (after, patienceMs = 60_000) => call.events(after, patienceMs),
  };
}

class Caller {
  readonly #url: string;
  readonly #token: string | null;
  readonly #tls: ClientTls | null;
  #dispatcher: Promise<Dispatcher> | null = null;
  readonly #signal: AbortSignal;
  readonly #callMs: number;
  readonly #silenceMs: number;

  constructor(options: ClientOptions) {
    const { url, token, tls, insecure = false, signal, callTimeoutMs = CALL_MS, silenceMs = SILENCE_MS } = options;
    this.#url = url.replace(/\/+$/, '');
    refusePlain(this.#url, insecure);
    this.#token = token;
    this.#tls = tls ?? null;
    this.#signal = signal ?? new AbortController().signal;
    this.#callMs = callTimeoutMs;
    this.#silenceMs = silenceMs;
  }

  get<T>(path: string, timeoutMs = this.#callMs): Promise<T> {
    return this.#call<T>(path, {}, timeoutMs);
  }

  post<T>(path: string, body: unknown, timeoutMs = this.#callMs): Promise<T> {
    return this.#call<T>(path, { method: 'POST', body: JSON.stringify(body) }, timeoutMs);
  }

  async *events(after: number | null, patienceMs: number): AsyncIterable<EventView> {
    let from = after;
    let lastHeard = performance.now();
    for (;;) {
      try {
        for await (const one of this.#stream(from, () => {
          lastHeard = performance.now();
        })) {
          from = one.revision;
          yield one;
        }
      } catch (error) {
        // Only what may be over soon is tried again.
        const code = codeOf(error);
        if (code !== 'API_UNAVAILABLE' && code !== 'API_TIMEOUT') throw error;
        if (performance.now() - lastHeard > patienceMs) throw error;
      }
      await pause(500, this.#signal);
      this.#checkInterrupted();
    }
  }

  async *#stream(after: number | null, heard: () => void): AsyncIterable<EventView> {
    const query = after === null ? '' : `?after=${after}`;
    const silence = new Watchdog(this.#signal, this.#silenceMs);
    try {
      const response = await this.#fetch(`/v1/events${query}`, {}, silence.signal);
      if (!response.ok) throw await this.#failure(response);
      for await (const message of readMessages(response.body ?? new ReadableStream())) {
        heard();
        silence.reset();
        if (message === null) continue;
        if (message.event === 'failure') throw failureFrom(message.data, 200);
        const parsed = eventSchema.safeParse(JSON.parse(message.data));
        if (!parsed.success) throw new UnderstudyError('API_UNAVAILABLE', `${this.#url} sends no events of ours`);
        yield parsed.data;
      }
    } catch (error) {
      throw this.#explain(error, silence);
    } finally {
      silence.end();
    }
  }

  async #call<T>(path: string, init: RequestInit, timeoutMs: number): Promise<T> {
    const timer = new Watchdog(this.#signal, timeoutMs);
    try {
      const response = await this.#fetch(path, init, timer.signal);
      if (!response.ok) throw await this.#failure(response);
      return JSON.parse(await textOf(response)) as T;
    } catch (error) {
      throw this.#explain(error, timer);
    } finally {
      timer.end();
    }
  }

  async #fetch(path: string, init: RequestInit, signal: AbortSignal): Promise<Response> {
    const headers: Record<string, string> = { Accept: 'application/json' };
    if (this.#token !== null) headers.Authorization = `Bearer ${this.#token}`;
    if (init.body !== undefined) headers['Content-Type'] = 'application/json';
    // A redirection would carry the token to somebody else.
    const request = { ...init, headers, signal, redirect: 'error' } as const;
    if (!this.#url.startsWith('https:')) return fetch(`${this.#url}${path}`, request);
    // The fetch of Node.js takes no certificates; that of the package, which is the same, is loaded only for them.
    this.#dispatcher ??= dispatcherFor(this.#tls);
    const dispatcher = await this.#dispatcher;
    const { fetch: fetchTls } = await import('undici');
    return (await fetchTls(`${this.#url}${path}`, { ...(request as object), dispatcher })) as unknown as Response;
  }

  async #failure(response: Response): Promise<UnderstudyError> {
    return failureFrom(await textOf(response), response.status);
  }

  #checkInterrupted(): void {
    if (this.#signal.aborted) throw new UnderstudyError('INTERRUPTED', 'stopped while the controller was being asked');
  }

  #explain(error: unknown, timer: Watchdog): unknown {
    this.#checkInterrupted();
    if (codeOf(error) !== null) return error;
    if (timer.barked) {
      return new UnderstudyError('API_TIMEOUT', `${this.#url} did not answer in time`, { cause: error });
    }
    if (error instanceof SyntaxError) {
      return new UnderstudyError('API_UNAVAILABLE', `${this.#url} does not answer in JSON`, { cause: error });
    }
    const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
    const untrusted = trustProblem(cause);
    if (untrusted !== null) {
      return new UnderstudyError('API_UNTRUSTED', `${this.#url} is not asked: ${untrusted}`, { cause });
    }
    // What the network says comes as TypeError with a cause.
    if (!(error instanceof TypeError) && errnoOf(cause) === null) return error;
    return new UnderstudyError('API_UNAVAILABLE', `${this.#url} cannot be reached: ${messageOf(cause)}`, { cause });
  }
}

/** A token, or an order, that anybody on the way could read or change. */
function refusePlain(url: string, insecure: boolean): void {
  const { protocol, hostname } = new URL(url);
  if (protocol === 'https:' || insecure || isLoopback(hostname)) return;
  throw new UnderstudyError(
    'API_INSECURE',
    `${url} is not asked without encryption: write https:// (docs/tls.md), or allow it with --insecure`,
  );
}

async function dispatcherFor(tls: ClientTls | null): Promise<Dispatcher> {
  const { Agent } = await import('undici');
  const { authorityPem = null, pair = null, serverName = null } = tls ?? {};
  const connect = {
    minVersion: 'TLSv1.3' as const,
    ...(authorityPem === null ? {} : { ca: authorityPem }),
    ...(pair === null ? {} : pair),
    ...(serverName === null ? {} : { servername: serverName }),
  };
  // Calls have time-outs of their own, some of them longer than those of the package.
  return new Agent({ connect, headersTimeout: 0, bodyTimeout: 0 });
}

/** A signal that aborts when it was not reset for so long, or when another one does. */
class Watchdog {
  readonly #controller = new AbortController();
  readonly #outer: AbortSignal;
  readonly #stop = (): void => this.#controller.abort();
  readonly #ms: number;
  #timer: NodeJS.Timeout;
  barked = false;

  constructor(outer: AbortSignal, ms: number) {
    this.#outer = outer;
    this.#ms = ms;
    this.#timer = this.#start();
    outer.addEventListener('abort', this.#stop, { once: true });
    if (outer.aborted) this.#stop();
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  reset(): void {
    clearTimeout(this.#timer);
    this.#timer = this.#start();
  }

  /** Also ends a body that is still being read. */
  end(): void {
    clearTimeout(this.#timer);
    this.#outer.removeEventListener('abort', this.#stop);
    this.#stop();
  }

  #start(): NodeJS.Timeout {
    return setTimeout(() => {
      this.barked = true;
      this.#stop();
    }, this.#ms);
  }
}

async function textOf(response: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of response.body ?? new ReadableStream<Uint8Array>()) {
    length += chunk.length;
    if (length > ANSWER_BYTES_MAX) throw new UnderstudyError('API_UNAVAILABLE', 'the answer is far too long');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function failureFrom(text: string, status: number): UnderstudyError {
  const { code, message } = parseFailure(text) ?? {};
  if (typeof code === 'string' && isErrorCode(code)) return new UnderstudyError(code, String(message));
  const what = code === 'INTERNAL' ? 'has a defect; see its output' : `answers with status ${status}`;
  return new UnderstudyError('API_UNAVAILABLE', `the controller ${what}`);
}

function parseFailure(text: string): { readonly code?: unknown; readonly message?: unknown } | null {
  try {
    return (JSON.parse(text) as { error?: { code?: unknown; message?: unknown } } | null)?.error ?? null;
  } catch {
    // Something between us and the controller answers in its own way: the status is all there is.
    return null;
  }
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await new Promise<void>((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener('abort', done, { once: true });
    if (signal.aborted) done();
  });
}
