// Records and observations as the stable views that everybody outside sees.
import { shown } from '../base/mod.ts';
import type { Configuration, HostConfig, ServiceConfig } from '../config/mod.ts';
import { verdictOf } from '../policy/mod.ts';
import type { StorageStatus } from '../storage/mod.ts';
import { withDirector } from './components.ts';
import type { DecisionView, EngagementView, HostView, PlanView, ServiceView, UnusableRecordView } from './contract.ts';
import type { ControllerFacts } from './facts.ts';
import { type Holds, holdView } from './holds.ts';
import { iso } from './journal.ts';
import { type Engagement, type PendingPlan, phaseSince, timeToCapacity } from './record.ts';
import { isOurs } from './record-kinds.ts';
import type { UnusableRecord } from './records.ts';
import { remedyOf } from './remedy.ts';
import type { World } from './world.ts';

/** Power that was looked at longer ago than this is not known any more. */
const POWER_STALE_MS = 60_000;

export function engagementView(engagement: Engagement, world: World): EngagementView {
  const { failure } = engagement;
  return {
    name: engagement.name,
    service: engagement.service,
    lead: engagement.lead,
    understudy: engagement.understudy,
    origin: engagement.origin === 'manual' ? 'operator' : 'policy',
    phase: engagement.ended && engagement.failed && failure !== null ? failure.phase : engagement.phase,
    since: iso(phaseSince(engagement)),
    state: stateOf(engagement),
    error: errorOf(engagement),
    left: engagement.left ?? [],
    stages: stagesOf(engagement),
    timeToCapacitySeconds: timeToCapacity(engagement),
    acknowledgedAt: engagement.acknowledgedAt === undefined ? null : iso(engagement.acknowledgedAt),
    progress: world.progress.get(engagement.name) ?? null,
    waitsFor: waitOf(engagement, world),
  };
}

function waitOf({ name, phase, ended }: Engagement, { waits }: World): string | null {
  const wait = waits.get(name);
  return wait === undefined || ended || wait.phase !== phase ? null : wait.text;
}

function errorOf({ hold, failure }: Engagement): EngagementView['error'] {
  const told = hold ?? failure;
  if (told === null) return null;
  const { code, message, phase } = told;
  return { code, message, phase, remedy: remedyOf(code, hold !== null) };
}

/** A failed one is 'failed' from the moment it turned round; its way down goes on by itself all the same. */
function stateOf(engagement: Engagement): EngagementView['state'] {
  if (engagement.failed && engagement.acknowledgedAt === undefined) return 'failed';
  if (engagement.ended) return 'done';
  return engagement.phase === 'serving' && engagement.goal === 'serve' ? 'waiting' : 'running';
}

/** Phases that are over; several stays in one phase are one stage. */
function stagesOf(engagement: Engagement): EngagementView['stages'] {
  const seconds = new Map<Engagement['phase'], number>();
  for (const { phase, startedAt, endedAt } of engagement.stages) {
    if (endedAt !== null) seconds.set(phase, (seconds.get(phase) ?? 0) + (endedAt - startedAt) / 1000);
  }
  return [...seconds].map(([phase, total]) => ({ phase, seconds: total }));
}

export function planView(plan: PendingPlan, engagements: readonly Engagement[], service: ServiceConfig): PlanView {
  const released = engagements.find(({ name }) => name === plan.subject);
  return {
    id: plan.id,
    action: plan.action,
    lead: service.lead,
    understudy: plan.action === 'scale-out' ? plan.subject : (released?.understudy ?? plan.subject),
    reason: plan.reason,
    proposedAt: iso(plan.at),
  };
}

export function serviceView(facts: ControllerFacts, plan: PendingPlan | null, last: DecisionView | null): ServiceView {
  const { service, engagements } = facts;
  return {
    name: service.name,
    mode: service.mode,
    lead: service.lead,
    ...withDirector(verdictOf(facts.serving), facts.director),
    hosts: [service.lead, ...engagements.map(({ understudy }) => understudy)],
    hostsMax: service.hostsMax,
    engagements: engagements.map(({ name }) => name),
    pendingPlan: plan === null ? null : planView(plan, engagements, service),
    holds: facts.holds.ofService(service).map(holdView),
    lastDecision: last,
  };
}

const EXCERPT_MAX = 2000;

export function recordView({ key, revision, why, text }: UnusableRecord): UnusableRecordView {
  const excerpt = isOurs(key) ? shown(text.slice(0, EXCERPT_MAX)) : null;
  return { key: shown(key), revision, reason: shown(why), text: excerpt, sizeBytes: Buffer.byteLength(text) };
}

export interface HostFacts {
  readonly config: Configuration;
  readonly world: World;
  readonly nowMs: number;
  readonly engagements: readonly Engagement[];
  /** Why hosts are in no pool. */
  readonly keptOut: ReadonlyMap<string, string>;
  /** null: the storage node could not be asked. */
  readonly storage: StorageStatus | null;
  readonly holds: Holds;
}

export function hostView(host: HostConfig, facts: HostFacts): HostView {
  const { config, world, nowMs, storage } = facts;
  const services = [...config.services.values()];
  const led = services.find(({ lead }) => lead === host.name);
  const engagement = facts.engagements.find(({ understudy, ended }) => understudy === host.name && !ended);
  const pooled = services.some(({ pool }) => pool.includes(host.name));
  const seen = world.agents.get(host.name);
  const power = world.power.get(host.name);
  const volume = storage?.volumes.find(({ name }) => name === host.volume);
  return {
    name: host.name,
    power: power === undefined || nowMs - power.atMs > POWER_STALE_MS ? 'unknown' : power.state,
    role: led !== undefined ? 'lead' : engagement !== undefined ? 'understudy' : pooled ? 'spare' : 'free',
    service: led?.name ?? engagement?.service ?? null,
    engagement: engagement?.name ?? null,
    keptOut: facts.keptOut.get(host.name) ?? null,
    holds: facts.holds.ofHost(host.name).map(holdView),
    agent:
      seen === undefined
        ? null
        : { lastSeenAt: iso(seen.atMs), verdict: world.agentStanding(host.name, nowMs).verdict },
    volume: {
      name: host.volume,
      content: volume?.content.kind ?? 'unknown',
      attached: volume !== undefined && volume.attachment !== null,
      uri: networkUri(volume?.attachment?.uri ?? null),
      problem: volume?.problem ?? null,
    },
  };
}

/** A Unix socket is a path of the machine, which is of use there only and not for every viewer's eyes. */
function networkUri(uri: string | null): string | null {
  return uri?.startsWith('nbd+unix:') ? null : uri;
}
