// Looks at what others have measured: the director, each time the service is looked at; Prometheus, as often as a
// signal says.
import { codeOf, messageOf } from '../base/mod.ts';
import type { Configuration, ServiceConfig, SignalConfig } from '../config/mod.ts';
import type { Observation, ObservedServer } from '../director/mod.ts';
import { RATE_GAP_MS_MAX } from '../policy/mod.ts';
import { directorCondition } from './components.ts';
import type { Journal } from './journal.ts';
import { type Context, directorOf, hostOf, within } from './parts.ts';
import type { Engagement } from './record.ts';
import { listEngagements } from './records.ts';
import type { World } from './world.ts';

const LOOK_MS_MIN = 200;

/** The lead, and every understudy that takes traffic. */
export function servingNames(service: ServiceConfig, engagements: readonly Engagement[]): readonly string[] {
  const onStage = engagements.filter(
    ({ service: name, ended, phase, goal }) =>
      name === service.name && !ended && phase === 'serving' && goal === 'serve',
  );
  return [service.lead, ...onStage.map(({ understudy }) => understudy)];
}

/**
 * Requests of the whole service and of its hosts, as the director counts them; that it cannot be asked is a gap in what
 * is known. @returns why it could not be asked; null: it was
 */
export async function lookAtDirector(context: Context, world: World, service: ServiceConfig): Promise<unknown> {
  const keepMs = service.scaleIn.windowSeconds * 1000 + 2 * RATE_GAP_MS_MAX;
  let seen: Observation | null = null;
  let reason = '';
  let trouble: unknown = null;
  try {
    seen = await within(context, 'asking the director', service.timeoutsMs.call, (call) =>
      directorOf(context.parts, service).observe(service.name, call),
    );
  } catch (error) {
    // A director that is away is reported where it is needed; here its absence is an observation like any other. A
    // defect is not.
    if (context.signal.aborted || codeOf(error) === null) throw error;
    reason = messageOf(error);
    trouble = error;
  }
  const atMs = context.parts.wall();
  const condition =
    seen === null
      ? ({ state: 'unreachable', detail: unreachable(trouble) } as const)
      : directorCondition(service, seen);
  world.components.saw(`director/${service.name}`, condition, atMs);
  world.requestsSeen(service.name, seen, atMs, keepMs);
  const signals = service.signals.filter(({ source }) => source.kind === 'director');
  if (signals.length === 0) return trouble;
  const hosts = servingNames(service, await allEngagements(context));
  for (const host of hosts) {
    const server = seen?.servers.find(({ name }) => name === host) ?? null;
    const before = world.serverSeen(service.name, host, server);
    for (const { name: signal } of signals) {
      const value = server === null ? null : sampleOf(signal, server, before, seen?.queued ?? 0);
      const why = seen === null ? reason : server === null ? 'the director has no such server' : 'nothing is known yet';
      world.own.add({ service, host, signal, atMs, value, reason: why });
    }
  }
  return trouble;
}

/** @param before the same server at the look before; null: this is the first one */
function sampleOf(
  signal: string,
  server: ObservedServer,
  before: ObservedServer | null,
  queued: number,
): number | null {
  const requests = before === null ? 0 : server.requestsTotal - before.requestsTotal;
  const errors = before === null ? 0 : server.errorsTotal - before.errorsTotal;
  switch (signal) {
    case 'director.responseMilliseconds':
      // Its average stays as it was when nobody asks any more; then nobody waits.
      return before === null || requests < 0 ? null : requests === 0 ? 0 : server.responseTimeMs;
    case 'director.checkMilliseconds':
      return server.checkMs;
    case 'director.errors':
      if (before === null || requests < 0 || errors < 0) return null;
      return requests === 0 ? (errors > 0 ? 100 : 0) : Math.min(100, (100 * errors) / requests);
    case 'director.connections':
      return server.connections;
    case 'director.queue':
      // Who waits for any server waits for this one too.
      return server.queued + queued;
    default:
      return null;
  }
}

/** Without the reason: that names sockets and paths of this machine, which not every viewer is to know. */
function unreachable(error: unknown): string {
  return `cannot be asked (${codeOf(error)}); the log of the controller and understudy doctor say why`;
}

/** Whether the service has signals that come from Prometheus; undefined: there is no such service. */
export function asksPrometheus(service: ServiceConfig | undefined): boolean {
  return service?.signals.some(({ source }) => source.kind === 'prometheus') ?? false;
}

/** Asks Prometheus what is due. @returns when to come again */
export async function reconcileMetrics(
  context: Context,
  world: World,
  journal: Journal,
  service: ServiceConfig,
): Promise<{ readonly inMs: number }> {
  const nowMs = context.parts.wall();
  const hosts = servingNames(service, await allEngagements(context));
  let nextMs = Number.POSITIVE_INFINITY;
  const due: Promise<void>[] = [];
  for (const signal of service.signals) {
    if (signal.source.kind !== 'prometheus') continue;
    const everyMs = signal.source.everySeconds * 1000;
    const lastMs = world.askedMs(service.name, signal.name);
    if (nowMs - lastMs >= everyMs || nowMs < lastMs) {
      world.asked(service.name, signal.name, nowMs);
      due.push(ask(context, world, journal, service, signal, hosts));
    }
    nextMs = Math.min(nextMs, world.askedMs(service.name, signal.name) + everyMs);
  }
  await Promise.all(due);
  return { inMs: Math.max(LOOK_MS_MIN, nextMs - context.parts.wall()) };
}

async function ask(
  context: Context,
  world: World,
  journal: Journal,
  service: ServiceConfig,
  { name: signal, source }: SignalConfig,
  hosts: readonly string[],
): Promise<void> {
  if (source.kind !== 'prometheus') return;
  const answers = new Map<string, Promise<Reading>>();
  const answerTo = (query: string) => {
    const asked = answers.get(query) ?? read(context, service, { ...source, query });
    answers.set(query, asked);
    return asked;
  };
  const readings = await Promise.all(
    hosts.map(async (host) => {
      const reading = await answerTo(queryFor(source.query, host, context.parts.config));
      const { value, reason } = reading;
      world.own.add({ service, host, signal, atMs: context.parts.wall(), value, reason });
      return reading;
    }),
  );
  const subject = `signal/${service.name}/${signal}`;
  const failed = readings.find(({ error }) => error !== null);
  if (failed === undefined) journal.well(subject);
  else await journal.trouble(subject, failed.error);
}

interface Reading {
  readonly value: number | null;
  readonly reason: string;
  /** Why there is no answer; null: there is one. */
  readonly error: unknown;
}

/** The query of a signal, about one host. @throws HOST_UNKNOWN */
export function queryFor(query: string, host: string, config: Configuration): string {
  return query.replaceAll('{{host}}', host).replaceAll('{{address}}', hostOf(config, host).address);
}

/** That there is no answer is an observation like any other. */
async function read(
  context: Context,
  service: ServiceConfig,
  query: { readonly url: string; readonly query: string; readonly tokenFile: string | null },
): Promise<Reading> {
  try {
    const value = await within(context, 'asking Prometheus', service.timeoutsMs.call, ({ signal }) =>
      context.parts.metrics.read(query, signal),
    );
    return { value, reason: 'the query gives nothing', error: null };
  } catch (error) {
    if (context.signal.aborted || codeOf(error) === null) throw error;
    return { value: null, reason: messageOf(error), error };
  }
}

async function allEngagements({ parts }: Context): Promise<readonly Engagement[]> {
  return (await listEngagements(parts.store, parts.config)).all;
}
