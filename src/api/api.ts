// The interface of a controller: built, then told to listen, then closed.
import { setMaxListeners } from 'node:events';
import type { Server as TlsServer } from 'node:https';
import type { FastifyInstance } from 'fastify';
import { isLoopback, type Log, UnderstudyError } from '../base/mod.ts';
import type { Configuration } from '../config/mod.ts';
import type { ControllerApi } from '../controller/mod.ts';
import { removeAddress, writeAddress } from './address.ts';
import type { ReloadView } from './answers.ts';
import { Audit } from './audit.ts';
import { Credentials } from './credentials.ts';
import { Metrics } from './metrics.ts';
import { AGENT_PACE, Pace, type PaceLimits } from './pace.ts';
import { STREAMS_MAX } from './stream-places.ts';
import { TokenBook } from './tokens.ts';
import { type WaitingLimits, WaitingRoom } from './waiting-room.ts';

/** Requests that are being answered when the server is to end have so long. */
const GRACE_MS = 10_000;
/**
 * Connections that the kernel holds for us until we take them: as many as it will (listen(2)), so that a flood of them
 * keeps nobody out.
 */
const BACKLOG = 4096;

export interface ApiOptions {
  readonly controller: ControllerApi;
  readonly configuration: Pick<Configuration, 'api' | 'hosts' | 'services' | 'state' | 'tls'>;
  readonly version: string;
  /**
   * Told of defects found while answering; the caller has had its answer, and all others go on. @default ends the
   * process with the error
   * @param request "GET /v1/status", by the route
   */
  readonly onDefect?: (error: unknown, request: string) => void;
  /** Takes what is told of certificates, and each request at the level `debug`. @default dropped */
  readonly log?: Log;
  /** What other parts have to warn of; shown by `status`. @default nothing */
  readonly warnings?: () => readonly string[];
  /**
   * Reads understudy.yaml again. @param dryRun only tells what would change
   * @throws CONFIG_INVALID, CONFIG_UNREADABLE, RELOAD_REFUSED
   * @default there is nothing to read again
   */
  readonly reload?: (dryRun: boolean) => Promise<ReloadView>;
  /** How often an agent may report. @default 5 a second, 20 at once */
  readonly agentPace?: PaceLimits;
  /** At what pace those are answered who are not let in. @default 20 a second of one address, 50 at once */
  readonly waiting?: WaitingLimits;
}

export interface Api {
  /**
   * Listens where the configuration says, and writes STATE/api.json, by which commands on this machine find it.
   * @throws API_ADDRESS when the address is taken, not this machine's, or not allowed; API_INSECURE beyond
   * loopback without TLS, unless the configuration allows it
   */
  listen(): Promise<{ readonly url: string }>;
  /** What somebody has to see to, one line each. */
  warnings(): readonly string[];
  /** Hosts and services of the configuration are others now: reads the tokens that belong to them. */
  reconfigured(): void;
  /** The OpenAPI 3.1 description. */
  description(): object;
  /** Ends streams, lets requests end that are being answered, takes no more. Idempotent. */
  close(): Promise<void>;
}

/** @throws CONFIG_INVALID, CONFIG_UNREADABLE for the files of tokens; CERTIFICATE_INVALID, CERTIFICATE_UNKNOWN */
export async function createApi(options: ApiOptions): Promise<Api> {
  const { controller, configuration, version, onDefect = raise, log = () => undefined, waiting } = options;
  const audit = new Audit({ record: (entry) => controller.record(entry) });
  const tokens = new TokenBook(configuration, { onChange: (lines) => audit.changed(lines) });
  const credentials = configuration.tls === null ? null : await Credentials.open(configuration.tls, { log });
  const warnings = (): readonly string[] => [
    ...openness(configuration),
    ...(credentials?.warnings(Date.now()) ?? []),
    ...tokens.warnings(),
    ...(options.warnings?.() ?? []),
  ];
  const metrics = new Metrics(controller, version, () => credentials?.expiries(Date.now()) ?? []);
  const closing = closingOf();
  // Only who serves loads the server: commands that ask start in half the time without it.
  const { buildServer } = await import('./server.ts');
  const app = await buildServer({
    controller,
    metrics,
    // A certificate goes before a token: what the connection shows holds for all that is asked on it.
    sources: credentials === null ? [tokens] : [credentials, tokens],
    audit,
    log,
    pace: new Pace(options.agentPace ?? AGENT_PACE),
    waitingRoom: new WaitingRoom(waiting),
    services: configuration.services,
    version,
    onDefect,
    warnings,
    reload: options.reload ?? noReload,
    tls: credentials?.serverOptions ?? null,
    closing: closing.signal,
    powerTimeoutMs: powerTimeoutOf(configuration),
    requireHost: (name) => {
      if (!configuration.hosts.has(name)) throw new UnderstudyError('HOST_UNKNOWN', `there is no host "${name}"`);
    },
  });
  // Given TLS options, the framework makes a server of node:https.
  credentials?.follow(app.server as TlsServer, closing.signal);
  const following = metrics.follow(closing.signal);
  let written = false;
  let closed: Promise<void> | null = null;
  return {
    description: () => app.swagger(),
    warnings,
    reconfigured: () => tokens.reconfigured(configuration),
    async listen() {
      refuseOpenness(configuration);
      await listenAt(app, configuration.api);
      const url = urlOf(app, configuration);
      written = true;
      await writeAddress(configuration.state, { url, token: tokens.localToken });
      return { url };
    },
    close() {
      closed ??= (async () => {
        closing.abort();
        // Of another controller's address this one knows nothing.
        if (written) await removeAddress(configuration.state);
        await end(app);
        await audit.close();
        await following;
      })();
      return closed;
    },
  };
}

function closingOf(): AbortController {
  const closing = new AbortController();
  // One a stream, and the metrics.
  setMaxListeners(STREAMS_MAX + 1, closing.signal);
  return closing;
}

/** @throws API_ADDRESS */
async function listenAt(app: FastifyInstance, { host, port }: Configuration['api']): Promise<void> {
  try {
    await app.listen({ host, port, backlog: BACKLOG });
  } catch (cause) {
    const why = `cannot listen at ${host}:${port}: ${cause instanceof Error ? cause.message : String(cause)}`;
    throw new UnderstudyError('API_ADDRESS', why, { cause });
  }
}

async function noReload(): Promise<never> {
  throw new UnderstudyError('RELOAD_REFUSED', 'this controller has no file to read again');
}

type Listening = Pick<Configuration, 'api' | 'tls'>;

/** With the port that it really has. */
function urlOf({ server }: FastifyInstance, { api: { host, port }, tls }: Listening): string {
  const bound = server.address();
  const actual = typeof bound === 'object' && bound !== null ? bound.port : port;
  return `http${tls === null ? '' : 's'}://${host.includes(':') ? `[${host}]` : host}:${actual}`;
}

/** Also where the configuration was not read from a file, which checks the same. @throws API_INSECURE */
function refuseOpenness({ api, tls }: Listening): void {
  if (tls !== null || isLoopback(api.host) || api.insecure) return;
  throw new UnderstudyError(
    'API_INSECURE',
    `the API does not listen at ${api.host} without TLS: set tls (docs/tls.md), or api.insecure: true`,
  );
}

function openness({ api, tls }: Listening): readonly string[] {
  if (tls !== null || isLoopback(api.host)) return [];
  return [`the API at ${api.host} is not encrypted (api.insecure): whoever can read the network has every token`];
}

/** Requests that are being answered may end; connections that wait for the next one are cut as soon as they do. */
async function end(app: FastifyInstance): Promise<void> {
  const idle = setInterval(() => app.server.closeIdleConnections(), 50);
  const late = setTimeout(() => app.server.closeAllConnections(), GRACE_MS);
  try {
    await app.close();
  } finally {
    clearInterval(idle);
    clearTimeout(late);
  }
}

/** Where nobody takes defects, one ends the process: no promise may swallow it. */
function raise(error: unknown): void {
  setImmediate(() => {
    throw error;
  });
}

/** A host is asked to go off or on, and its state read back several times. */
function powerTimeoutOf({ services }: Pick<Configuration, 'services'>): number {
  const longest = [...services.values()].map(({ timeoutsMs }) => timeoutsMs.off + 3 * timeoutsMs.call);
  return Math.max(60_000, ...longest);
}
