// The interface of a controller: built, then told to listen, then closed.
import { setMaxListeners } from 'node:events';
import type { FastifyInstance } from 'fastify';
import { UnderstudyError } from '../base/mod.ts';
import type { Configuration } from '../config/mod.ts';
import type { ControllerApi } from '../controller/mod.ts';
import { removeAddress, writeAddress } from './address.ts';
import { Audit } from './audit.ts';
import { Metrics } from './metrics.ts';
import { AGENT_PACE, Pace, type PaceLimits } from './pace.ts';
import { STREAMS_MAX } from './stream-places.ts';
import { TokenBook } from './tokens.ts';

/** Requests that are being answered when the server is to end have so long. */
const GRACE_MS = 10_000;
/** Connections that the kernel holds for us until we take them: as many as it will (listen(2)), so that a flood of them keeps nobody out. */
const BACKLOG = 4096;

export interface ApiOptions {
  readonly controller: ControllerApi;
  readonly configuration: Pick<Configuration, 'api' | 'hosts' | 'services' | 'state'>;
  readonly version: string;
  /** Told of defects found while answering; the caller has had its answer. @default ends the process with the error */
  readonly onDefect?: (error: unknown) => void;
  /** Takes lines for the log: who ordered what, who was refused, and what is wrong with tokens. @default nobody hears them */
  readonly say?: (line: string) => void;
  /** How often an agent may report. @default 5 a second, 20 at once */
  readonly agentPace?: PaceLimits;
}

export interface Api {
  /**
   * Listens where the configuration says, and writes STATE/api.json, by which commands on this machine find it.
   * @throws API_ADDRESS when the address is taken, not this machine's, or not allowed
   */
  listen(): Promise<{ readonly url: string }>;
  /** The OpenAPI 3.1 description. */
  description(): object;
  /** Ends streams, lets requests end that are being answered, takes no more. Idempotent. */
  close(): Promise<void>;
}

/** @throws CONFIG_INVALID, CONFIG_UNREADABLE for the files of tokens */
export async function createApi(options: ApiOptions): Promise<Api> {
  const { controller, configuration, version, onDefect = raise, say = () => undefined } = options;
  const audit = new Audit({ record: (entry) => controller.record(entry), say });
  const tokens = new TokenBook(configuration, { onChange: (lines) => audit.changed(lines) });
  for (const line of tokens.warnings()) say(`warning: ${line}`);
  const metrics = new Metrics(controller, version);
  const closing = new AbortController();
  // One a stream, and the metrics.
  setMaxListeners(STREAMS_MAX + 1, closing.signal);
  // Only who serves loads the server: commands that ask start in half the time without it.
  const { buildServer } = await import('./server.ts');
  const app = await buildServer({
    controller,
    metrics,
    sources: [tokens],
    audit,
    pace: new Pace(options.agentPace ?? AGENT_PACE),
    services: configuration.services,
    version,
    onDefect,
    closing: closing.signal,
    powerTimeoutMs: powerTimeoutOf(configuration),
    requireHost: (name) => {
      if (!configuration.hosts.has(name)) throw new UnderstudyError('HOST_UNKNOWN', `there is no host "${name}"`);
    },
  });
  const following = metrics.follow(closing.signal);
  const { host, port } = configuration.api;
  let written = false;
  let closed: Promise<void> | null = null;
  return {
    description: () => app.swagger(),
    async listen() {
      try {
        await app.listen({ host, port, backlog: BACKLOG });
      } catch (cause) {
        const why = `cannot listen at ${host}:${port}: ${cause instanceof Error ? cause.message : String(cause)}`;
        throw new UnderstudyError('API_ADDRESS', why, { cause });
      }
      const bound = app.server.address();
      const actual = typeof bound === 'object' && bound !== null ? bound.port : port;
      const url = `http://${host.includes(':') ? `[${host}]` : host}:${actual}`;
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

/** A defect ends the process, and no promise may swallow it. */
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
