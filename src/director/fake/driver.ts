// A director in memory, for simulations and for tests of what drives a director. It spreads requests as HAProxy does with the
// configuration of docs/haproxy.md, forgets on demand, and hangs, refuses or ignores when it is told to.
import { setTimeout as delay } from 'node:timers/promises';
import { type Call, type EpochGate, UnderstudyError } from '../../base/mod.ts';
import type { Director, DirectorServer, Observation, ObservedServer } from '../contract.ts';

/** "unreachable": DIRECTOR_FAILED. "hang": DIRECTOR_TIMEOUT after the time. "ignore": accepts orders and does nothing. */
export type DirectorFault = 'unreachable' | 'hang' | 'ignore';

export interface FakeDirectorOptions {
  /** By the service's name: the servers that its configuration file has, which it still has after a reload. */
  readonly services: Readonly<Record<string, readonly DirectorServer[]>>;
  readonly gate: EpochGate;
  /** How long a server that is asked takes to answer, milliseconds; null: it does not. Asked at every look, never remembered. */
  readonly responseMs: (address: string, port: number) => number | null;
  /** @default 1000 */
  readonly timeoutMs?: number;
  /** A simulation that owns time injects its own. */
  readonly wait?: (ms: number, signal: AbortSignal) => Promise<void>;
}

/** A request that is being answered. */
export interface FakeRequest {
  readonly server: string;
  end(): void;
  /** true when it was ended, false when it was cut: its server was removed before. */
  readonly whole: Promise<boolean>;
}

interface Place {
  server: DirectorServer;
  ordered: 'ready' | 'drain';
  requestsTotal: number;
  /** Cuts one request that is being answered. */
  readonly open: Set<() => void>;
}

interface Service {
  readonly places: Map<string, Place>;
  requestsTotal: number;
  answeredTotal: number;
  /** Whose turn it is. */
  turn: number;
}

const LOOK_MS = 100;

export class FakeDirector implements Director {
  readonly name = 'fake';
  readonly #options: FakeDirectorOptions;
  readonly #services = new Map<string, Service>();
  #fault: DirectorFault | null = null;

  constructor(options: FakeDirectorOptions) {
    this.#options = options;
    this.restart();
  }

  /** null: nothing is wrong any more. */
  fault(fault: DirectorFault | null): void {
    this.#fault = fault;
  }

  /** Everything that was ordered at run time is forgotten, and the counters begin again. */
  restart(): void {
    this.#services.clear();
    for (const [name, servers] of Object.entries(this.#options.services)) {
      const places = new Map(servers.map((server) => [server.name, newPlace(server)]));
      this.#services.set(name, { places, requestsTotal: 0, answeredTotal: 0, turn: 0 });
    }
  }

  /** A user's request, sent on to a server that may have it. @returns null when there is none */
  request(service: string, kind: 'read' | 'write'): FakeRequest | null {
    const found = this.#serviceOf(service);
    found.requestsTotal += 1;
    const fit = [...found.places.values()].filter((place) => {
      return this.#stateOf(place) === 'ready' && (kind === 'read' || place.server.traffic === 'all');
    });
    const place = fit[found.turn++ % Math.max(1, fit.length)];
    if (place === undefined) return null;
    place.requestsTotal += 1;
    let settle: (whole: boolean) => void = () => {};
    const whole = new Promise<boolean>((done) => {
      settle = done;
    });
    const cut = (): void => settle(false);
    place.open.add(cut);
    const end = (): void => {
      if (place.open.delete(cut)) found.answeredTotal += 1;
      settle(true);
    };
    return { server: place.server.name, end, whole };
  }

  async observe(service: string, call: Call): Promise<Observation> {
    const found = this.#serviceOf(service);
    await this.#asked(`observe ${service}`, call.signal);
    const servers = [...found.places.values()].map((place) => this.#observed(place));
    const { requestsTotal, answeredTotal } = found;
    return { servers, queued: 0, requestsTotal, answeredTotal };
  }

  async admit(service: string, server: DirectorServer, call: Call): Promise<void> {
    await this.#change(service, server.name, `admit ${server.name}`, call, ({ places }) => {
      const place = places.get(server.name) ?? newPlace(server);
      place.server = server;
      places.set(server.name, place);
      // As long as its check fails, nothing is sent to it.
      place.ordered = this.#answers(server) ? 'ready' : 'drain';
      return place.ordered === 'ready';
    });
  }

  async drain(service: string, server: string, call: Call): Promise<void> {
    await this.#change(service, server, `drain ${server}`, call, ({ places }) => {
      const place = places.get(server);
      if (place !== undefined) place.ordered = 'drain';
      return true;
    });
  }

  async remove(service: string, server: string, call: Call): Promise<void> {
    await this.#change(service, server, `remove ${server}`, call, ({ places }) => {
      for (const cut of places.get(server)?.open ?? []) cut();
      places.delete(server);
      return true;
    });
  }

  async #change(
    service: string,
    server: string,
    what: string,
    call: Call,
    step: (service: Service) => boolean,
  ): Promise<void> {
    const found = this.#serviceOf(service);
    const timeoutMs = this.#options.timeoutMs ?? 1000;
    // Time is counted, not measured: it may be the simulation's.
    for (let waitedMs = 0; waitedMs < timeoutMs; waitedMs += LOOK_MS) {
      await this.#options.gate.admit(`director/${service}/${server}`, call.epoch);
      await this.#asked(what, call.signal);
      if (this.#fault !== 'ignore' && step(found)) return;
      await this.#wait(what, LOOK_MS, call.signal);
    }
    throw new UnderstudyError('DIRECTOR_TIMEOUT', `${what} in ${service}: not done within ${timeoutMs} ms`);
  }

  async #asked(what: string, signal: AbortSignal): Promise<void> {
    if (signal.aborted) throw interrupted(what);
    if (this.#fault === 'unreachable') throw new UnderstudyError('DIRECTOR_FAILED', `${what}: cannot be reached`);
    if (this.#fault !== 'hang') return;
    await this.#wait(what, this.#options.timeoutMs ?? 1000, signal);
    throw new UnderstudyError('DIRECTOR_TIMEOUT', `${what}: no answer`);
  }

  async #wait(what: string, ms: number, signal: AbortSignal): Promise<void> {
    try {
      await (this.#options.wait?.(ms, signal) ?? delay(ms, undefined, { signal }));
    } catch (error) {
      throw signal.aborted ? interrupted(what) : error;
    }
  }

  #serviceOf(name: string): Service {
    const service = this.#services.get(name);
    if (service === undefined) throw new UnderstudyError('SERVICE_UNKNOWN', `the fake director has no service ${name}`);
    return service;
  }

  #answers({ address, port }: DirectorServer): boolean {
    return this.#options.responseMs(address, port) !== null;
  }

  #stateOf(place: Place): ObservedServer['state'] {
    if (place.ordered === 'drain') return 'drain';
    return this.#answers(place.server) ? 'ready' : 'down';
  }

  #observed(place: Place): ObservedServer {
    const { server, requestsTotal, open } = place;
    return {
      ...server,
      state: this.#stateOf(place),
      connections: open.size,
      requestsTotal,
      errorsTotal: 0,
      responseTimeMs: requestsTotal === 0 ? null : this.#options.responseMs(server.address, server.port),
      checkMs: this.#options.responseMs(server.address, server.port),
      queued: 0,
    };
  }
}

function newPlace(server: DirectorServer): Place {
  return { server, ordered: 'ready', requestsTotal: 0, open: new Set() };
}

function interrupted(what: string): UnderstudyError {
  return new UnderstudyError('INTERRUPTED', `${what}: stopped by its caller`);
}
