// The director: the network device that spreads a service's traffic. Its state is observed, never remembered: a reload
// may have undone what was asked. Seed rows P5, P6, P10.
import type { Call } from '../base/mod.ts';

/** 'reads': only requests that do not modify data may ever reach the server (invariant 6). */
export type Traffic = 'all' | 'reads';

export interface DirectorServer {
  /** The host's name. */
  readonly name: string;
  readonly address: string;
  readonly port: number;
  readonly traffic: Traffic;
}

export interface ObservedServer extends DirectorServer {
  /** 'ready' takes new connections; 'drain' only finishes old ones; 'down' fails its health check; 'maint' takes none. */
  readonly state: 'ready' | 'drain' | 'down' | 'maint';
  /** Connections open now, also those that are queued for it. */
  readonly connections: number;
  readonly requestsTotal: number;
  readonly errorsTotal: number;
  /** Average over the director's own window, milliseconds; null when it has answered nothing yet. */
  readonly responseTimeMs: number | null;
  /** How long its last health check took, milliseconds; null when none was made. */
  readonly checkMs: number | null;
  /** Requests that wait for this server. */
  readonly queued: number;
}

export interface Observation {
  readonly servers: readonly ObservedServer[];
  /** Requests that wait for any server. */
  readonly queued: number;
  /** That came, for the whole service, since the director's start (a restart resets it). */
  readonly requestsTotal: number;
  /** Of those, answered by a server and not with an error (5xx): what the servers carry. The rest waits, or was turned away. */
  readonly answeredTotal: number;
}

/**
 * Every changing method asks the EpochGate first (thing "director/SERVICE/SERVER"), is idempotent, and resolves only when the
 * state was read back as wanted.
 * @throws SERVICE_UNKNOWN, DIRECTOR_FAILED (with what it said), DIRECTOR_TIMEOUT, EPOCH_STALE, INTERRUPTED
 */
export interface Director {
  readonly name: string;
  observe(service: string, call: Call): Promise<Observation>;
  /** The server takes traffic of its kind. Also takes back a drain. */
  admit(service: string, server: DirectorServer, call: Call): Promise<void>;
  /** No new connections; resolves when that is so. Open ones go on: `observe` tells how many. A server not there is drained. */
  drain(service: string, server: string, call: Call): Promise<void>;
  /** The server is gone from the service, open connections are cut. Gone stays gone. */
  remove(service: string, server: string, call: Call): Promise<void>;
}
