// One view of a service from its two backends. A server that takes all traffic is in both, one that takes reads is in one.
import type { Observation, ObservedServer } from '../contract.ts';
import type { HaproxySettings } from './settings.ts';
import type { Backend, BackendServer } from './state.ts';

/** HAProxy's averages are over so many requests. */
const WINDOW_REQUESTS = 1024;
/** From best to worst: a server that is less than ready in one of its backends is not ready. */
const STATES = ['ready', 'drain', 'down', 'maint'] as const satisfies readonly ObservedServer['state'][];

export function observationOf(backends: readonly Backend[], settings: HaproxySettings): Observation {
  const main = backends.find((backend) => backend.name === settings.backend);
  const names = new Set(backends.flatMap(({ servers }) => servers.map(({ name }) => name)));
  const servers = [...names].map((name) => {
    const parts = backends.flatMap((backend) => backend.servers.filter((server) => server.name === name));
    const all = main?.servers.some((server) => server.name === name) === true;
    return { name, traffic: all ? 'all' : 'reads', ...merged(parts) } as const;
  });
  return {
    servers,
    queued: sum(backends, ({ queued }) => queued),
    requestsTotal: sum(backends, ({ requestsTotal }) => requestsTotal),
    answeredTotal: sum(backends, ({ answeredTotal }) => answeredTotal),
  };
}

/** The main backend comes first, so its address counts. */
function merged(parts: readonly BackendServer[]): Omit<ObservedServer, 'name' | 'traffic'> {
  return {
    address: parts[0]?.address ?? '',
    port: parts[0]?.port ?? 0,
    state: STATES[Math.max(...parts.map((part) => STATES.indexOf(stateOf(part))))] ?? 'maint',
    connections: sum(parts, ({ connections }) => connections),
    requestsTotal: sum(parts, ({ requestsTotal }) => requestsTotal),
    errorsTotal: sum(parts, ({ errorsTotal }) => errorsTotal),
    responseTimeMs: meanResponseTime(parts),
    checkMs: parts.reduce<number | null>(
      (most, { checkMs }) => (checkMs === null ? most : Math.max(most ?? 0, checkMs)),
      null,
    ),
    queued: sum(parts, ({ queued }) => queued),
  };
}

function stateOf(server: BackendServer): ObservedServer['state'] {
  if (server.ordered !== 'none') return server.ordered;
  if (!server.up) return 'down';
  return server.weight === 0 ? 'drain' : 'ready';
}

function meanResponseTime(parts: readonly BackendServer[]): number | null {
  const timed = parts.flatMap(({ responseTimeMs, requestsTotal }) =>
    responseTimeMs === null ? [] : [{ responseTimeMs, weight: Math.min(requestsTotal, WINDOW_REQUESTS) }],
  );
  const weight = sum(timed, (part) => part.weight);
  return weight === 0 ? null : sum(timed, (part) => part.responseTimeMs * part.weight) / weight;
}

function sum<T>(items: readonly T[], value: (item: T) => number): number {
  return items.reduce((total, item) => total + value(item), 0);
}
