// Metrics in Prometheus' text format 0.0.4. Gauges are read from the controller when they are asked for; counters and
// histograms are kept here, fed by its events, from the oldest that it keeps.
import { setTimeout as delay } from 'node:timers/promises';
import { messageOf, UnderstudyError } from '../base/mod.ts';
import type { ControllerApi, EventView, StatusView } from '../controller/mod.ts';
import type { Expiry } from '../pki/mod.ts';
import { Counter, Exposition, Histogram } from './exposition.ts';

/** Seconds: from a virtual machine's boot to the copy of a large disk. */
const BUCKETS = [1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14_400];
/** How long the events are left alone after they could not be read. */
const RETRY_MS = 1000;

export class Metrics {
  readonly #controller: ControllerApi;
  readonly #version: string;
  readonly #expiries: () => readonly Expiry[];
  readonly #capacity = new Histogram(['service'], BUCKETS);
  readonly #stages = new Histogram(['service', 'phase'], BUCKETS);
  readonly #decisions = new Counter(['service', 'action', 'outcome']);
  readonly #requests = new Counter(['method', 'route', 'status']);
  #revision = 0;
  /** Why events cannot be read at present. */
  #trouble: unknown = null;

  constructor(controller: ControllerApi, version: string, expiries: () => readonly Expiry[]) {
    this.#controller = controller;
    this.#version = version;
    this.#expiries = expiries;
  }

  /** Follows the events until the signal ends it. */
  async follow(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      this.#trouble = null;
      try {
        for await (const event of this.#controller.events(this.#revision, signal)) this.#take(event);
        this.#trouble = new Error('the events have ended');
      } catch (error) {
        // Told to whoever asks for the metrics next; until then it may be over.
        this.#trouble = error;
      }
      await delay(RETRY_MS, undefined, { signal }).catch(() => undefined);
    }
  }

  #take(event: EventView): void {
    this.#revision = event.revision;
    if (event.kind === 'stage') this.#stages.observe([event.data.service, event.data.phase], event.data.seconds);
    if (event.kind === 'capacity') this.#capacity.observe([event.data.service], event.data.seconds);
    if (event.kind === 'decision') {
      this.#decisions.add([event.data.service, event.data.action, event.data.outcome]);
    }
  }

  request(method: string, route: string, status: number): void {
    this.#requests.add([method, route, String(status)]);
  }

  /** @param streams readers of events at present @throws API_UNAVAILABLE while the events cannot be read */
  async text(streams: number): Promise<string> {
    if (this.#trouble !== null) {
      throw new UnderstudyError('API_UNAVAILABLE', `events cannot be read: ${messageOf(this.#trouble)}`, {
        cause: this.#trouble,
      });
    }
    return (await this.exposition(streams)).text;
  }

  /** All of them, with what is known at this moment. */
  async exposition(streams: number): Promise<Exposition> {
    const status = await this.#controller.status();
    const out = new Exposition();
    out.gauge('understudy_info', 'Version of the program.', ['version'], [[[this.#version], 1]]);
    out.gauge('understudy_controller_epoch', 'Raised by every take-over.', [], [[[], status.controller.epoch]]);
    services(out, status);
    hosts(out, status);
    engagements(out, status);
    held(out, status);
    components(out, status);
    out.gauge(
      'understudy_certificate_expiry_timestamp_seconds',
      'When each certificate expires.',
      ['kind', 'name'],
      this.#expiries().map(({ kind, name, expiresMs }) => [[kind, name], expiresMs / 1000] as const),
    );
    out.histogram(
      'understudy_time_to_capacity_seconds',
      'From the choice of an understudy until it takes traffic.',
      this.#capacity,
    );
    out.histogram('understudy_stage_seconds', 'Time that engagements spent in each phase.', this.#stages);
    out.counter('understudy_decisions_total', 'Decisions and what became of them.', this.#decisions);
    out.counter('understudy_api_requests_total', 'Requests answered, by route.', this.#requests);
    out.gauge('understudy_api_event_streams', 'Readers of events at present.', [], [[[], streams]]);
    return out;
  }
}

const VERDICTS = ['healthy', 'degraded', 'failing', 'unknown'] as const;

function services(out: Exposition, { services: all }: StatusView): void {
  const verdicts = all.flatMap(({ name, verdict }) =>
    VERDICTS.map((one) => [[name, one], one === verdict ? 1 : 0] as const),
  );
  out.gauge('understudy_service_verdict', '1 for the verdict that holds.', ['service', 'verdict'], verdicts);
  const counts = all.map(({ name, hosts }) => [[name], hosts.length] as const);
  out.gauge('understudy_service_hosts', 'Hosts of the service in any state.', ['service'], counts);
  const limits = all.map(({ name, hostsMax }) => [[name], hostsMax] as const);
  out.gauge('understudy_service_hosts_max', 'Hosts that the service may have.', ['service'], limits);
}

/** What waits for people, or was ordered by them. */
function held(out: Exposition, { services: all, hosts: list }: StatusView): void {
  const plans = all.map(({ name, pendingPlan }) => [[name], pendingPlan === null ? 0 : 1] as const);
  out.gauge('understudy_pending_plans', 'Plans that wait for an approval (mode approve).', ['service'], plans);
  const proposed = all.flatMap(({ name, pendingPlan }) =>
    pendingPlan === null ? [] : [[[name], Date.parse(pendingPlan.proposedAt) / 1000] as const],
  );
  out.gauge(
    'understudy_pending_plan_proposed_timestamp_seconds',
    'When the plan that waits was proposed.',
    ['service'],
    proposed,
  );
  const holds = all.flatMap(({ name, holds: found }) =>
    (['pause', 'dismissal'] as const).map((kind) => {
      return [[name, kind], found.some((hold) => hold.kind === kind) ? 1 : 0] as const;
    }),
  );
  out.gauge('understudy_service_held', '1 while a pause or a dismissal by hand holds.', ['service', 'kind'], holds);
  const maintained = list.map(({ name, holds: found }) => {
    return [[name], found.some(({ kind }) => kind === 'maintenance') ? 1 : 0] as const;
  });
  out.gauge('understudy_host_maintenance', '1 while the host is in maintenance.', ['host'], maintained);
}

const COMPONENT_STATES = ['ok', 'degraded', 'down', 'unreachable', 'unknown'] as const;

function components(out: Exposition, { components: all, unusableRecordsTotal }: StatusView): void {
  const rows = all.flatMap(({ kind, name, state }) =>
    COMPONENT_STATES.map((one) => [[kind, name, one], one === state ? 1 : 0] as const),
  );
  out.gauge('understudy_component_state', '1 for the state that holds.', ['kind', 'name', 'state'], rows);
  out.gauge('understudy_unusable_records', 'Records that cannot be used.', [], [[[], unusableRecordsTotal]]);
}

function hosts(out: Exposition, { hosts: all }: StatusView): void {
  const rows = ['lead', 'understudy', 'spare', 'free'].flatMap((role) =>
    ['on', 'off', 'unknown'].map((power) => {
      const count = all.filter((host) => host.role === role && host.power === power).length;
      return [[role, power], count] as const;
    }),
  );
  out.gauge('understudy_hosts', 'Hosts by role and power.', ['role', 'power'], rows);
  const seen = all.flatMap(({ name, agent }) =>
    agent === null ? [] : [[[name], Date.parse(agent.lastSeenAt) / 1000] as const],
  );
  out.gauge('understudy_agent_last_seen_timestamp_seconds', 'Last report of each agent.', ['host'], seen);
}

function engagements(out: Exposition, { services: all, engagements: list }: StatusView): void {
  // A service without any has a zero: an alert on its rise needs a value from which to rise.
  const rows = all.flatMap(({ name }) =>
    ['running', 'waiting', 'failed'].map((state) => {
      const count = list.filter((one) => one.service === name && one.state === state).length;
      return [[name, state], count] as const;
    }),
  );
  out.gauge('understudy_engagements', 'Engagements that are not done.', ['service', 'state'], rows);
}
