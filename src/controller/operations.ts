// What people and agents ask of a controller: each operation writes what is wanted, or tells what is.

import type { Instruction, Report } from '../agent/mod.ts';
import { shown, UnderstudyError } from '../base/mod.ts';
import type { HostConfig, ServiceConfig } from '../config/mod.ts';
import type {
  AuditEntry,
  AuditView,
  ControllerApi,
  DecisionView,
  DismissalView,
  DismissRequest,
  EngagementView,
  EventView,
  EvidenceView,
  InspectionView,
  StatusView,
  UnusableRecordView,
  VerdictView,
} from './contract.ts';
import type { HoldView } from './contract-parts.ts';
import { dismissByForce, dismissInOrder, dismissUnusable, explain, find, type Subject } from './dismissal.ts';
import { AGENT_EVIDENCE_BYTES_MAX, cutEvidence } from './evidence.ts';
import {
  acknowledge,
  DISMISSAL_HOLD_MS,
  holdAfterDismissal,
  maintain,
  pauseService,
  resumeService,
} from './hold-orders.ts';
import { Holds, holdText, holdView } from './holds.ts';
import { switchHost } from './hosts.ts';
import type { Journal } from './journal.ts';
import { isLeft, occupied } from './occupied.ts';
import { type Context, hostOf, serviceOf, within } from './parts.ts';
import { type Engagement, keys, type PendingPlan } from './record.ts';
import { type Engagements, getEngagement, listEngagements, listRecords, serviceOfKey } from './records.ts';
import { unusableRecords } from './scan.ts';
import { askRelease, carryOut, createEngagement, factsOf } from './service.ts';
import { engagementViews, statusOf } from './status.ts';
import { identityOf } from './step.ts';
import type { Tries } from './tries.ts';
import { refuseUnsettled } from './unsettled.ts';
import { engagementView, recordView } from './view.ts';
import type { World } from './world.ts';

const REPORT_SECONDS = 5;
/** Reads some hundred files of a disk, after its journal was replayed. */
const INSPECT_MS = 300_000;
/** News of one host are told, and have its service looked at, at most so often. */
const HOST_NEWS_MS = 1000;

export interface OperationsInput {
  readonly context: Context;
  readonly world: World;
  readonly journal: Journal;
  readonly tries: Tries;
  readonly name: string;
  readonly sinceMs: number;
  /** Has a service or an engagement looked at, at once. */
  readonly wake: (key: string) => void;
  /** Stops what is being done for it, so that it is looked at again at once. */
  readonly interrupt: (key: string) => void;
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

  status(): Promise<StatusView> {
    return statusOf(this.#input);
  }

  history(limit: number): Promise<readonly EngagementView[]> {
    return engagementViews(this.#input, limit);
  }

  async clone({ lead, to }: { readonly lead: string; readonly to: string }): Promise<{ readonly engagement: string }> {
    const { config } = this.#context.parts;
    refuseUnsettled(this.#context);
    hostOf(config, lead);
    const spare = hostOf(config, to);
    const known = await this.#known();
    const engagements = known.all.filter(({ ended }) => !ended);
    const same = engagements.find((one) => one.lead === lead && one.understudy === to && one.goal === 'serve');
    if (same !== undefined) return { engagement: same.name };
    const service = this.#serviceFor(lead, spare);
    const holds = await Holds.read(this.#context.parts);
    const maintained = holds.maintenanceOf(to) ?? holds.maintenanceOf(lead);
    if (maintained !== null) throw refused(`${to} cannot be engaged for ${lead}: ${maintained}`);
    const rival = engagements.find(({ understudy }) => understudy === to);
    if (rival !== undefined) throw refused(`${to} is engaged for ${rival.lead} (${rival.name}, ${rival.phase})`);
    const { why, countOf } = await occupied(this.#context, this.#world, known);
    const taken = why.get(to);
    if (taken !== undefined) throw refused(`${to} cannot be engaged: ${taken}`);
    const hosts = 2 + countOf(service) + engagements.filter((one) => one.service === service.name).length;
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

  async dismiss(request: DismissRequest, by: string | null = null): Promise<{ readonly engagement: string }> {
    const { force, holdMs, ...subject } = request;
    const { tries, wake, interrupt } = this.#input;
    refuseUnsettled(this.#context);
    const found = await find(this.#context, subject);
    if (found.kind === 'unusable') {
      const { key, why, revision } = found.record;
      const name = shown(key.slice(keys.engagements.length));
      if (force !== true) {
        const what = `the record ${key} cannot be used (${why}); "understudy dismiss ${name} --force" says what can be done`;
        throw new UnderstudyError('RECORD_UNUSABLE', what);
      }
      const service = serviceOfKey(key);
      if (this.#context.parts.config.services.has(service)) {
        const about = { service, understudy: found.marked?.[0]?.host ?? null };
        await holdAfterDismissal(this.#context, this.#journal, about, { holdMs: holdMs ?? DISMISSAL_HOLD_MS, by });
      }
      const goesOn = await dismissUnusable(this.#context, found);
      await this.#journal.event({
        kind: 'engagement',
        subject: `engagement/${name}`,
        text: `${name} is dismissed by force: its record was ${goesOn ? 'replaced by one of its way down' : 'deleted'}`,
        data: { engagement: name, why },
      });
      if (revision > 0) await tries.forget(key);
      wake('records');
      if (revision > 0) wake(key);
      return { engagement: name };
    }
    const key = keys.engagement(found.engagement.name);
    // Held first: once it is over, the policy might engage the spare again.
    const hold = { holdMs: holdMs ?? (found.engagement.ended ? 0 : DISMISSAL_HOLD_MS), by };
    await holdAfterDismissal(this.#context, this.#journal, found.engagement, hold);
    if (force === true) {
      await dismissByForce(this.#context, found.engagement);
      interrupt(key);
    } else {
      // A step that ended the controller too often is tried again, because somebody asks for it.
      if (found.engagement.hold?.code === 'TRIES_EXHAUSTED') await tries.forget(key);
      await dismissInOrder(this.#context, found.engagement);
    }
    wake(key);
    return { engagement: found.engagement.name };
  }

  async dismissal(subject: Subject): Promise<DismissalView> {
    return explain(await find(this.#context, subject), this.#context.parts.config);
  }

  async records(): Promise<readonly UnusableRecordView[]> {
    const found = await unusableRecords(this.#context.parts, this.#context.epoch);
    this.#world.unusable = found;
    return found.map(recordView);
  }

  async removeRecord({ key, revision }: { readonly key: string; readonly revision: number }): Promise<void> {
    const { parts, epoch } = this.#context;
    const record = (await unusableRecords(parts, epoch)).find((one) => one.key === key || shown(one.key) === key);
    if (record === undefined) throw refused(`no record "${shown(key)}" that cannot be used`);
    if (key.startsWith(keys.engagements)) {
      throw refused(`${key} is removed by "understudy dismiss ${key.slice(keys.engagements.length)} --force"`);
    }
    if (revision !== record.revision) {
      throw new UnderstudyError('STORE_CONFLICT', `the record ${shown(key)} has changed: look at it again`);
    }
    await parts.store.delete(record.key, revision);
    const text = `the record ${shown(key)} was removed: it could not be used (${record.why})`;
    await this.#journal.event({ kind: 'controller', subject: 'controller', text, data: { key, why: record.why } });
    this.#input.wake('records');
  }

  async approve(plan: string): Promise<{ readonly engagement: string }> {
    const { config, store } = this.#context.parts;
    refuseUnsettled(this.#context);
    const { usable } = await listRecords<PendingPlan>(store, keys.plans);
    const record = usable.find(({ value }) => value.id === plan);
    if (record === undefined) throw refused(`there is no plan "${plan}", or no longer`);
    const service = serviceOf(config, record.value.service);
    const held = (await Holds.read(this.#context.parts)).against(service, record.value.action);
    if (held !== null) throw refused(`the plan "${plan}" is not carried out: ${held}`);
    // Whoever deletes the plan carries it out: of two approvals in the same moment, one finds it gone.
    await store.delete(record.key, record.revision);
    const facts = await factsOf(this.#context, this.#world, service);
    const engagement = await carryOut(this.#context, facts, {
      ...record.value,
      reason: `${record.value.reason}; approved`,
    });
    if (engagement === null) throw refused(`the plan "${plan}" has no subject`);
    this.#input.wake(keys.engagement(engagement));
    return { engagement };
  }

  async pause(
    { service: name, forMs }: { readonly service: string; readonly forMs: number | null },
    by: string | null = null,
  ): Promise<{ readonly hold: HoldView }> {
    serviceOf(this.#context.parts.config, name);
    const hold = await pauseService(this.#context, this.#journal, { name, forMs, by });
    this.#input.wake(`service/${name}`);
    return { hold: holdView(hold) };
  }

  async resume(name: string, by: string | null = null): Promise<{ readonly lifted: readonly HoldView[] }> {
    serviceOf(this.#context.parts.config, name);
    const lifted = await resumeService(this.#context, this.#journal, { name, by });
    this.#input.wake(`service/${name}`);
    return { lifted: lifted.map(holdView) };
  }

  async maintenance(
    { host: name, state }: { readonly host: string; readonly state: 'on' | 'off' },
    by: string | null = null,
  ): Promise<{ readonly hold: HoldView | null; readonly engagement: string | null }> {
    const { config } = this.#context.parts;
    hostOf(config, name);
    const hold = await maintain(this.#context, this.#journal, { name, state, by });
    const all = hold === null ? [] : await this.#engagements();
    const engaged = all.find(({ understudy, ended }) => understudy === name && !ended);
    if (hold !== null && engaged !== undefined) {
      await askRelease(this.#context, engaged.name, holdText(hold));
      this.#input.wake(keys.engagement(engaged.name));
    }
    const services = [...config.services.values()].filter(({ lead, pool }) => lead === name || pool.includes(name));
    for (const service of services) this.#input.wake(`service/${service.name}`);
    return { hold: hold === null ? null : holdView(hold), engagement: engaged?.name ?? null };
  }

  async acknowledge(engagement: string): Promise<{ readonly engagement: string }> {
    await acknowledge(this.#context, engagement);
    return { engagement };
  }

  async power(
    name: string,
    state: 'on' | 'off',
    signal: AbortSignal,
  ): Promise<{ readonly power: 'on' | 'off' | 'unknown' }> {
    const host = hostOf(this.#context.parts.config, name);
    const known = await this.#known();
    const engaged = known.all.find(({ understudy, ended }) => understudy === name && !ended);
    if (engaged !== undefined) throw refused(`${name} is engaged (${engaged.name}); dismiss it first`);
    const taken = (await occupied(this.#context, this.#world, known)).why.get(name);
    if (taken !== undefined && !(state === 'off' && isLeftOn(known.all, name))) throw refused(`${name}: ${taken}`);
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
    const { store, config } = this.#context.parts;
    const engagement = await getEngagement(store, config, name);
    if (engagement === null) throw new UnderstudyError('ENGAGEMENT_UNKNOWN', `there is no engagement "${name}"`);
    return engagementView(engagement, this.#world);
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
    return (await this.#known()).all;
  }

  #known(): Promise<Engagements> {
    const { store, config } = this.#context.parts;
    return listEngagements(store, config);
  }
}

/** What a dismissal by force left may be switched off by hand, which takes nothing from anybody. */
function isLeftOn(all: readonly Engagement[], host: string): boolean {
  return all.some((one) => one.understudy === host && isLeft(one));
}

/** Also after a clock that was set back. */
function isLongAgo(thenMs: number | undefined, nowMs: number): boolean {
  return thenMs === undefined || Math.abs(nowMs - thenMs) >= HOST_NEWS_MS;
}

function refused(message: string): UnderstudyError {
  return new UnderstudyError('ENGAGEMENT_REFUSED', message);
}
