// The reconciler of services: looks, decides, and turns a decision into an engagement, a proposal, or advice.
import { codeOf, present, UnderstudyError } from '../base/mod.ts';
import type { ServiceConfig } from '../config/mod.ts';
import { carriedRate, type Decision, decide, type ServingHost } from '../policy/mod.ts';
import { update } from '../store/mod.ts';
import { withDirector } from './components.ts';
import type { DecisionView } from './contract.ts';
import type { ControllerFacts } from './facts.ts';
import { forgetExpired } from './hold-orders.ts';
import { Holds } from './holds.ts';
import type { Journal } from './journal.ts';
import { lookAtDirector, servingNames } from './observe.ts';
import { isLeft, occupied } from './occupied.ts';
import { type Context, within } from './parts.ts';
import { type Engagement, keys, type PendingPlan } from './record.ts';
import { getRecord, listEngagements, listRecords, updateRecord } from './records.ts';
import type { Standing } from './standing.ts';
import type { World } from './world.ts';

const LOOK_MS = 2000;
const CALL_MS = 30_000;
/** How often what baselines have learned is kept. */
const REMEMBER_MS = 600_000;
/** Ended engagements that are kept as history. */
const ENDED_MAX = 50;

export async function reconcileService(
  context: Context,
  world: World,
  journal: Journal,
  service: ServiceConfig,
): Promise<{ readonly inMs: number }> {
  const trouble = await lookAtDirector(context, world, service);
  if (trouble === null) journal.well(`director/${service.name}`);
  else await journal.trouble(`director/${service.name}`, trouble);
  await remember(context, world, service);
  const facts = await factsOf(context, world, service);
  await forgetExpired(context, journal, facts.holds.expired(service.name));
  const decided = decide(facts);
  const decision = heldBack({ ...decided, ...withDirector(decided, facts.director) }, facts);
  await act(context, journal, service, facts, decision);
  return { inMs: LOOK_MS };
}

/** Of the lead alone: understudies come and go. */
async function remember(context: Context, world: World, service: ServiceConfig): Promise<void> {
  const nowMs = context.parts.wall();
  if (!world.isTimeToRemember(service.name, nowMs, REMEMBER_MS)) return;
  const memories = world.own.memories(service.name, service.lead);
  if (Object.keys(memories).length === 0) return;
  await update(context.parts.store, keys.learnedOf(service.name, service.lead), () => memories);
}

export async function factsOf(context: Context, world: World, service: ServiceConfig): Promise<ControllerFacts> {
  const nowMs = context.parts.wall();
  const found = await listEngagements(context.parts.store, context.parts.config);
  const { all } = found;
  const { why, countOf } = await occupied(context, world, found);
  const holds = await Holds.read(context.parts);
  const ours = all.filter((engagement) => engagement.service === service.name);
  const engagements = ours.filter(({ ended }) => !ended);
  const names = servingNames(service, engagements);
  world.own.keep(service.name, names);
  const standings = names.map((name) => world.standing(service, name, nowMs));
  const used = new Set(all.filter(({ ended }) => !ended).map(({ understudy }) => understudy));
  const leads = new Set([...context.parts.config.services.values()].map(({ lead }) => lead));
  const changes = ours.flatMap(({ admittedAt, stages }) => [
    ...(admittedAt === null ? [] : [admittedAt]),
    ...stages.filter(({ phase }) => phase === 'drain').map(({ startedAt }) => startedAt),
  ]);
  return {
    nowMs,
    service,
    serving: standings.map((standing, index) => servingHost(names[index] ?? '', standing)),
    engagements,
    others: countOf(service),
    outside: standings.find(({ outside }) => outside !== null)?.outside ?? null,
    freeSpares: service.pool.filter((spare) => {
      return !used.has(spare) && !leads.has(spare) && !why.has(spare) && holds.ofHost(spare).length === 0;
    }),
    holds,
    director: world.components.director(service.name, nowMs),
    rates: world.ratesSince(service.name, nowMs - service.scaleIn.windowSeconds * 1000),
    lastChangeMs: changes.length === 0 ? null : Math.max(...changes),
  };
}

/** What is wanted, and must not be done by itself now. What cannot be done anyway says so beside it. */
function heldBack(decision: Decision, { service, holds, director }: ControllerFacts): Decision {
  if (decision.outcome === 'none') return decision;
  const away = director?.state === 'unreachable' ? `the director of ${service.name} cannot be asked` : null;
  const why = holds.against(service, decision.action) ?? away;
  if (why === null) return decision;
  return { ...decision, outcome: 'refused', subject: null, reason: `${why}; else: ${decision.reason}` };
}

function servingHost(name: string, { verdict, sinceMs, evidence, lacksCapacity }: Standing): ServingHost {
  return { name, verdict, verdictSinceMs: sinceMs, evidence, lacksCapacity };
}

async function act(
  context: Context,
  journal: Journal,
  service: ServiceConfig,
  facts: ControllerFacts,
  decision: Decision,
): Promise<void> {
  const plan = await keepPlan(context, service, decision);
  let outcome: DecisionView['outcome'] = decision.outcome === 'wanted' ? 'started' : decision.outcome;
  let engagement: string | null = decision.action === 'scale-in' ? decision.subject : null;
  if (decision.outcome === 'wanted') {
    if (service.mode === 'advise') outcome = 'advised';
    else if (service.mode === 'approve') outcome = 'proposed';
    else engagement = await carryOut(context, facts, decision);
  }
  const { action, verdict, reason, evidence } = decision;
  const fresh = await journal.decide({ service: service.name, action, outcome, verdict, reason, evidence, engagement });
  if (!fresh) return;
  const view = journal.lastDecision(service.name);
  if (view === null) return;
  await journal.event({
    kind: 'decision',
    subject: `service/${service.name}`,
    text: `${service.name}: ${action === 'none' ? 'nothing changed' : `${action} ${outcome}`}: ${reason}`,
    data: view,
  });
  if (outcome === 'proposed' && plan !== null) {
    const text = `${service.name}: ${plan.action} of ${plan.subject} waits for "understudy approve ${plan.id}"`;
    await journal.event({ kind: 'plan', subject: `service/${service.name}`, text, data: { plan: plan.id } });
  }
}

/** A proposal lives as long as what it rests on, and no longer. */
async function keepPlan(context: Context, service: ServiceConfig, decision: Decision): Promise<PendingPlan | null> {
  const { store, wall } = context.parts;
  const record = await planOf(context, service, decision);
  const { action, subject } = decision;
  const proposed = service.mode === 'approve' && decision.outcome === 'wanted' && subject !== null;
  const wanted = proposed && (action === 'scale-out' || action === 'scale-in');
  if (!wanted) {
    if (record !== null) await store.delete(record.key, record.revision);
    return null;
  }
  if (record !== null && record.value.action === action && record.value.subject === subject) return record.value;
  const at = wall();
  const id = `${service.name}-${at.toString(36)}`;
  const plan: PendingPlan = { id, service: service.name, action, subject, reason: decision.reason, at };
  await store.put(keys.plan(service.name), plan, record?.revision ?? 0);
  return plan;
}

/** One that cannot be used is left where it is, and stands in the way of another one only. @throws RECORD_UNUSABLE */
async function planOf({ parts }: Context, { mode, name }: ServiceConfig, { outcome }: Decision) {
  try {
    return await getRecord<PendingPlan>(parts.store, keys.plan(name));
  } catch (error) {
    if (codeOf(error) === 'RECORD_UNUSABLE' && (mode !== 'approve' || outcome !== 'wanted')) return null;
    throw error;
  }
}

/** Makes the decision true in the store; the reconciler of engagements does the rest. */
export async function carryOut(
  context: Context,
  facts: ControllerFacts,
  decision: Pick<Decision, 'action' | 'subject' | 'reason'>,
): Promise<string | null> {
  const { action, subject, reason } = decision;
  if (subject === null) return null;
  if (action === 'scale-in') {
    await askRelease(context, subject, reason);
    return subject;
  }
  return createEngagement(context, {
    service: facts.service,
    understudy: subject,
    origin: 'automatic',
    reason,
    breach: { rate: carriedRate(facts), hosts: facts.serving.length },
  });
}

interface EngagementRequest {
  readonly service: ServiceConfig;
  readonly understudy: string;
  readonly origin: Engagement['origin'];
  readonly reason: string;
  readonly breach: Engagement['breach'];
}

export async function createEngagement(context: Context, request: EngagementRequest): Promise<string> {
  const { store, wall, floor } = context.parts;
  const first = await firstSequence(context);
  const given = (await floor?.read())?.sequence ?? 0;
  const counter = await updateRecord<number>(store, keys.sequence, (last) => Math.max(last ?? first, given) + 1);
  const sequence = present(counter, 'a counter is never deleted').value;
  await floor?.raise({ sequence });
  const { service, understudy, origin, reason, breach } = request;
  const name = `${service.name}-${sequence}`;
  const now = wall();
  const engagement: Engagement = {
    name,
    sequence,
    epoch: context.epoch,
    service: service.name,
    lead: service.lead,
    understudy,
    origin,
    goal: 'serve',
    reason,
    phase: 'choose',
    ended: false,
    createdAt: now,
    stages: [{ phase: 'choose', startedAt: now, endedAt: null }],
    reboots: 0,
    failure: null,
    hold: null,
    failed: false,
    takenAt: null,
    proof: null,
    admittedAt: null,
    breach,
  };
  await store.put(keys.engagement(name), engagement, 0);
  await forget(context);
  return name;
}

/** Below what a new counter begins with: names of engagements are not used twice, also when the counter was lost. */
async function firstSequence(context: Context): Promise<number> {
  const { store } = context.parts;
  if ((await store.get(keys.sequence)) !== null) return 0;
  const names = (await store.list(keys.engagements)).map(({ key }) => key);
  const volumes = (await within(context, 'asking the storage node', CALL_MS, () => context.parts.storage.status()))
    .volumes;
  for (const { content, backups } of volumes) {
    if ('engagement' in content) names.push(content.engagement);
    names.push(...backups.map(({ engagement }) => engagement));
  }
  return Math.max(0, ...names.map((name) => Number(/-(\d{1,12})$/.exec(name)?.[1] ?? 0)));
}

/** History is bounded: the oldest that have ended go. */
async function forget(context: Context): Promise<void> {
  const { store } = context.parts;
  const { usable } = await listRecords<Engagement>(store, keys.engagements);
  const ended = usable.filter(({ value }) => value.ended && !isLeft(value));
  const oldest = ended.toSorted((a, b) => a.value.sequence - b.value.sequence).slice(0, -ENDED_MAX);
  for (const { key, revision } of oldest) await store.delete(key, revision);
}

/** From whatever phase; asked again it changes nothing. */
export async function askRelease(context: Context, name: string, reason: string): Promise<void> {
  await updateRecord<Engagement>(context.parts.store, keys.engagement(name), (now) => {
    if (now === null) throw new UnderstudyError('ENGAGEMENT_UNKNOWN', `there is no engagement "${name}"`);
    return now.ended || now.goal === 'release' ? now : { ...now, goal: 'release', reason };
  });
}
