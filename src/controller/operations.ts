// What people and agents ask of a controller: each operation writes what is wanted, or tells what is.

import type { Instruction, Report } from '../agent/mod.ts';
import { UnderstudyError } from '../base/mod.ts';
import type { HostConfig, ServiceConfig } from '../config/mod.ts';
import type {
  AuditEntry,
  AuditView,
  ControllerApi,
  DecisionView,
  EngagementView,
  EventView,
  EvidenceView,
  InspectionView,
  StatusView,
  VerdictView,
} from './contract.ts';
import { AGENT_EVIDENCE_BYTES_MAX, cutEvidence } from './evidence.ts';
import { switchHost } from './hosts.ts';
import { iso, type Journal } from './journal.ts';
import { type Context, hostOf, serviceOf, within } from './parts.ts';
import { type Engagement, keys, type PendingPlan } from './record.ts';
import { askRelease, carryOut, createEngagement, factsOf } from './service.ts';
import { identityOf } from './step.ts';
import { engagementView, hostView, serviceView } from './view.ts';
import type { World } from './world.ts';

const REPORT_SECONDS = 5;
const STORAGE_MS = 5000;
/** Reads some hundred files of a disk, after its journal was replayed. */
const INSPECT_MS = 300_000;
/** News of one host are told, and have its service looked at, at most so often. */
const HOST_NEWS_MS = 1000;
/** Ended engagements in the status. */
const ENDED_SHOWN = 5;

export interface OperationsInput {
  readonly context: Context;
  readonly world: World;
  readonly journal: Journal;
  readonly name: string;
  readonly sinceMs: number;
  /** Has a service or an engagement looked at, at once. */
  readonly wake: (key: string) => void;
}

export class Operations implements ControllerApi {
  readonly #context: Context;
  readonly #world: World;
  readonly #journal: Journal;
  readonly #input: OperationsInput;
  /** What was told last of a host's verdict, and when it had its service looked at. */
  readonly #told = new Map<string, { readonly verdict: VerdictView; readonly atMs: number }>();
  readonly #wokenMs = new Map<string, number>();

  constructor(input: OperationsInput) {
    this.#input = input;
    this.#context = input.context;
    this.#world = input.world;
    this.#journal = input.journal;
  }

  async status(): Promise<StatusView> {
    const context = this.#context;
    const { config, store, storage } = context.parts;
    // Before anything else is read, so that nothing newer is claimed to be in the view.
    const revision = await this.#journal.revision();
    const engagements = await this.#engagements();
    const plans = await store.list<PendingPlan>(keys.plans);
    // A storage node that is away must not keep anybody from seeing that it is.
    const node = await within(context, 'asking the storage node', STORAGE_MS, () => storage.status()).then(
      (status) => status,
      () => null,
    );
    const services = await Promise.all(
      [...config.services.values()].map(async (service) => {
        const plan = plans.find(({ value }) => value.service === service.name)?.value ?? null;
        const last = this.#journal.lastDecision(service.name);
        return serviceView(await factsOf(context, this.#world, service), plan, last);
      }),
    );
    const facts = { config, world: this.#world, nowMs: context.parts.wall(), engagements, storage: node };
    const ended = engagements.filter((engagement) => engagement.ended).slice(-ENDED_SHOWN);
    const shown = engagements.filter((engagement) => !engagement.ended || ended.includes(engagement));
    return {
      revision,
      controller: { name: this.#input.name, epoch: context.epoch, since: iso(this.#input.sinceMs) },
      services,
      hosts: [...config.hosts.values()].map((host) => hostView(host, facts)),
      engagements: shown.map((engagement) => engagementView(engagement, this.#world)),
    };
  }

  async clone({ lead, to }: { readonly lead: string; readonly to: string }): Promise<{ readonly engagement: string }> {
    const { config } = this.#context.parts;
    hostOf(config, lead);
    const spare = hostOf(config, to);
    const engagements = (await this.#engagements()).filter(({ ended }) => !ended);
    const same = engagements.find((one) => one.lead === lead && one.understudy === to && one.goal === 'serve');
    if (same !== undefined) return { engagement: same.name };
    const service = this.#serviceFor(lead, spare);
    const rival = engagements.find(({ understudy }) => understudy === to);
    if (rival !== undefined) throw refused(`${to} is engaged for ${rival.lead} (${rival.name}, ${rival.phase})`);
    const hosts = 2 + engagements.filter((one) => one.service === service.name).length;
    if (hosts > service.hostsMax) {
      throw refused(`${service.name} would have ${hosts} hosts, and at most ${service.hostsMax} are allowed`);
    }
    const engagement = await createEngagement(this.#context, {
      service,
      understudy: to,
      origin: 'manual',
      reason: 'asked for by hand',
      breach: null,
    });
    this.#input.wake(keys.engagement(engagement));
    return { engagement };
  }

  #serviceFor(lead: string, spare: HostConfig): ServiceConfig {
    const services = [...this.#context.parts.config.services.values()].filter((service) => service.lead === lead);
    if (services.length === 0) throw refused(`${lead} leads no service`);
    const service = services.find(({ pool }) => pool.includes(spare.name));
    if (service !== undefined) return service;
    throw refused(`${spare.name} is in no pool of ${lead} (${services.flatMap(({ pool }) => pool).join(', ')})`);
  }

  async dismiss(
    request: { readonly host: string } | { readonly engagement: string },
  ): Promise<{ readonly engagement: string }> {
    const engagements = await this.#engagements();
    let found: Engagement | undefined;
    if ('engagement' in request) {
      found = engagements.find(({ name }) => name === request.engagement);
      if (found === undefined) throw new UnderstudyError('ENGAGEMENT_UNKNOWN', `no engagement "${request.engagement}"`);
    } else {
      hostOf(this.#context.parts.config, request.host);
      const ofHost = engagements.filter(({ understudy }) => understudy === request.host);
      found = ofHost.findLast(({ ended }) => !ended) ?? ofHost.at(-1);
      if (found === undefined) throw refused(`${request.host} is not engaged`);
    }
    await askRelease(this.#context, found.name, 'dismissed by hand');
    this.#input.wake(keys.engagement(found.name));
    return { engagement: found.name };
  }

  async approve(plan: string): Promise<{ readonly engagement: string }> {
    const { config, store } = this.#context.parts;
    const record = (await store.list<PendingPlan>(keys.plans)).find(({ value }) => value.id === plan);
    if (record === undefined) throw refused(`there is no plan "${plan}", or no longer`);
    // Whoever deletes the plan carries it out: of two approvals in the same moment, one finds it gone.
    await store.delete(record.key, record.revision);
    const service = serviceOf(config, record.value.service);
    const facts = await factsOf(this.#context, this.#world, service);
    const engagement = await carryOut(this.#context, facts, {
      ...record.value,
      reason: `${record.value.reason}; approved`,
    });
    if (engagement === null) throw refused(`the plan "${plan}" has no subject`);
    this.#input.wake(keys.engagement(engagement));
    return { engagement };
  }

  async power(
    name: string,
    state: 'on' | 'off',
    signal: AbortSignal,
  ): Promise<{ readonly power: 'on' | 'off' | 'unknown' }> {
    const host = hostOf(this.#context.parts.config, name);
    const engaged = (await this.#engagements()).find(({ understudy, ended }) => understudy === name && !ended);
    if (engaged !== undefined) throw refused(`${name} is engaged (${engaged.name}); dismiss it first`);
    const led = [...this.#context.parts.config.services.values()].find(({ lead }) => lead === name);
    if (state === 'off' && led !== undefined) throw refused(`${name} leads ${led.name} and takes its traffic`);
    const context = { ...this.#context, signal: AbortSignal.any([this.#context.signal, signal]) };
    const power = await switchHost(context, host, state);
    this.#world.power.set(name, { state: power, atMs: this.#context.parts.wall() });
    return { power };
  }

  async inspect(name: string, signal: AbortSignal): Promise<InspectionView> {
    const host = hostOf(this.#context.parts.config, name);
    const context = { ...this.#context, signal: AbortSignal.any([this.#context.signal, signal]) };
    const lead = await identityOf(context, host);
    return within(context, `inspecting ${host.volume}`, INSPECT_MS, (call) =>
      context.parts.storage.inspect(host.volume, lead, call),
    );
  }

  async explain(service: string, limit: number): Promise<readonly DecisionView[]> {
    serviceOf(this.#context.parts.config, service);
    return this.#journal.decisions(service, limit);
  }

  async engagement(name: string): Promise<EngagementView> {
    const record = await this.#context.parts.store.get<Engagement>(keys.engagement(name));
    if (record === null) throw new UnderstudyError('ENGAGEMENT_UNKNOWN', `there is no engagement "${name}"`);
    return engagementView(record.value, this.#world);
  }

  events(after: number | null, signal: AbortSignal): AsyncIterable<EventView> {
    return this.#journal.events(after, AbortSignal.any([signal, this.#context.signal]));
  }

  record(entry: AuditEntry): Promise<void> {
    return this.#journal.event({ kind: 'audit', subject: entry.action, text: entry.text, data: entry });
  }

  audit(sinceMs: number): Promise<readonly AuditView[]> {
    return this.#journal.audit(sinceMs);
  }

  async report(name: string, report: Report): Promise<Instruction> {
    const { config, wall } = this.#context.parts;
    const host = hostOf(config, name);
    const service = await this.#serviceOfHost(name);
    const before = this.#world.agents.get(name);
    const old = before !== undefined && before.boot === report.boot && report.sequence <= before.sequence;
    if (!old) await this.#take(host, report, wall(), service);
    if (service === null) return { signals: [], probe: null, reportSeconds: REPORT_SECONDS };
    const { kind, path, contains, timeoutMs } = service.check;
    const place = `${host.address}:${service.port}`;
    const url = kind === 'http' ? `http://${place}${path}` : `tcp://${place}`;
    const probe = { url, contains: kind === 'http' ? contains : null, timeoutMs };
    const signals = service.signals
      .filter(({ source }) => source.kind === 'agent')
      .map(({ name: signal, objective, baseline, outside }) => ({ name: signal, objective, baseline, outside }));
    return { signals, probe, reportSeconds: REPORT_SECONDS };
  }

  async #take(host: HostConfig, report: Report, atMs: number, service: ServiceConfig | null): Promise<void> {
    const cut = cutEvidence(report.evidence, AGENT_EVIDENCE_BYTES_MAX);
    const evidence = cut.map((fact) => ({ host: host.name, ...fact }));
    const { verdict, boot, sequence, ageMs, lacksCapacity } = report;
    const [reason] = report.outside === null ? [] : cutEvidence([report.outside], AGENT_EVIDENCE_BYTES_MAX);
    const outside = reason === undefined ? null : { host: host.name, ...reason };
    const sinceMs = atMs - ageMs;
    const news = this.#world.agentSeen(host.name, {
      ...{ atMs, verdict, sinceMs, evidence, lacksCapacity, outside, boot, sequence },
    });
    // One that changes its mind all the time is told of once a second; the next report tells what holds by then.
    const told = this.#told.get(host.name);
    const isNews = news === 'verdict' || (told !== undefined && told.verdict !== verdict);
    if (isNews && isLongAgo(told?.atMs, atMs)) {
      this.#told.set(host.name, { verdict, atMs });
      await this.#verdictEvent(host.name, verdict, evidence);
    }
    // A service that is not woken is looked at all the same, a little later.
    if (news === 'nothing' || service === null || !isLongAgo(this.#wokenMs.get(host.name), atMs)) return;
    this.#wokenMs.set(host.name, atMs);
    this.#input.wake(`service/${service.name}`);
  }

  async #verdictEvent(host: string, verdict: VerdictView, evidence: readonly EvidenceView[]): Promise<void> {
    const facts = evidence.map(({ text }) => text).join('; ');
    await this.#journal.event({
      kind: 'verdict',
      subject: `host/${host}`,
      text: `${host} is ${verdict}${facts === '' ? '' : `: ${facts}`}`,
      data: { host, verdict },
    });
  }

  /** That it leads, or is engaged for. */
  async #serviceOfHost(name: string): Promise<ServiceConfig | null> {
    const services = [...this.#context.parts.config.services.values()];
    const led = services.find(({ lead }) => lead === name);
    if (led !== undefined) return led;
    const engaged = (await this.#engagements()).find(({ understudy, ended }) => understudy === name && !ended);
    return services.find((service) => service.name === engaged?.service) ?? null;
  }

  /** The oldest first. */
  async #engagements(): Promise<readonly Engagement[]> {
    const records = await this.#context.parts.store.list<Engagement>(keys.engagements);
    return records.map(({ value }) => value).toSorted((a, b) => a.sequence - b.sequence);
  }
}

/** Also after a clock that was set back. */
function isLongAgo(thenMs: number | undefined, nowMs: number): boolean {
  return thenMs === undefined || Math.abs(nowMs - thenMs) >= HOST_NEWS_MS;
}

function refused(message: string): UnderstudyError {
  return new UnderstudyError('ENGAGEMENT_REFUSED', message);
}
