// The end of an engagement as people ask for it: in good order, or by force, which does what can be done and says what
// it leaves. By force also of a record that cannot be used.
import { shown, UnderstudyError } from '../base/mod.ts';
import type { Configuration } from '../config/mod.ts';
import type { DismissalView, Phase } from './contract.ts';
import { isLeft, storageOrNull } from './occupied.ts';
import type { Context } from './parts.ts';
import { type Engagement, enter, isUp, keys, phases } from './record.ts';
import {
  heldHosts,
  listEngagements,
  type Marked,
  markedFor,
  namesOf,
  serviceOfKey,
  type UnusableRecord,
  updateRecord,
} from './records.ts';

export type Subject = { readonly host: string } | { readonly engagement: string };

/** What a dismissal is about: an engagement, or a record that cannot be used. */
export type Found =
  | { readonly kind: 'engagement'; readonly engagement: Engagement }
  | { readonly kind: 'unusable'; readonly record: UnusableRecord; readonly marked: readonly Marked[] | null };

/** @throws ENGAGEMENT_UNKNOWN, ENGAGEMENT_REFUSED, HOST_UNKNOWN */
export async function find(context: Context, subject: Subject): Promise<Found> {
  const { config, store } = context.parts;
  const engagements = await listEngagements(store, config);
  const { all, unusable } = engagements;
  const node = unusable.length === 0 ? null : await storageOrNull(context);
  const found = (record: UnusableRecord): Found => {
    return { kind: 'unusable', record, marked: node === null ? null : markedFor(namesOf(record), config, node) };
  };
  if ('engagement' in subject) {
    const wanted = keys.engagement(subject.engagement);
    // A key that is none is told as it can be shown.
    const record = unusable.find(({ key }) => key === wanted || shown(key) === wanted);
    if (record !== undefined) return found(record);
    const engagement = all.find(({ name }) => name === subject.engagement);
    if (engagement !== undefined) return { kind: 'engagement', engagement };
    throw new UnderstudyError('ENGAGEMENT_UNKNOWN', `no engagement "${subject.engagement}"`);
  }
  const { host } = subject;
  if (!config.hosts.has(host)) throw new UnderstudyError('HOST_UNKNOWN', `there is no host "${host}"`);
  const ofHost = all.filter(({ understudy }) => understudy === host);
  const held = heldHosts(engagements, config, node).get(host);
  const engagement = ofHost.findLast(({ ended }) => !ended) ?? ofHost.findLast(isLeft);
  if (engagement !== undefined) return { kind: 'engagement', engagement };
  if (held !== undefined) return found(held);
  const last = ofHost.at(-1);
  if (last !== undefined) return { kind: 'engagement', engagement: last };
  throw new UnderstudyError('ENGAGEMENT_REFUSED', `${host} is not engaged`);
}

/** In good order. One that was ended by force goes its way down again. */
export async function dismissInOrder(context: Context, { name }: Engagement): Promise<void> {
  const nowMs = context.parts.wall();
  await updateRecord<Engagement>(context.parts.store, keys.engagement(name), (now) => {
    if (now === null) throw new UnderstudyError('ENGAGEMENT_UNKNOWN', `there is no engagement "${name}"`);
    const release = { ...now, goal: 'release' as const, hold: null, forced: false };
    if (isLeft(now)) return { ...enter(release, 'drain', nowMs), ended: false, left: [] };
    if (now.ended) return now;
    if (now.goal === 'release') return now.hold?.code === 'TRIES_EXHAUSTED' || now.forced === true ? release : now;
    return { ...release, reason: 'dismissed by hand' };
  });
}

/** By force: each step is tried once. */
export async function dismissByForce(context: Context, { name }: Engagement): Promise<void> {
  await updateRecord<Engagement>(context.parts.store, keys.engagement(name), (now) => {
    if (now === null) throw new UnderstudyError('ENGAGEMENT_UNKNOWN', `there is no engagement "${name}"`);
    if (now.ended) return now;
    return { ...now, goal: 'release', forced: true, reason: 'dismissed by force' };
  });
}

/**
 * Puts a record of the way down where one that cannot be used is, for the host whose volume is marked for it; where
 * none is, nothing was changed for it, and it is deleted. @returns whether there is an engagement now
 * @throws ENGAGEMENT_REFUSED, STORAGE_FAILED
 */
export async function dismissUnusable(
  context: Context,
  { record, marked }: Extract<Found, { kind: 'unusable' }>,
): Promise<boolean> {
  const { store, config } = context.parts;
  const { key, revision } = record;
  const owner = ownerOf(record, marked);
  if (owner === null) {
    await store.delete(key, revision);
    return false;
  }
  const { epoch, parts } = context;
  const reason = 'dismissed by force: its record could not be used';
  const failure = { code: 'RECORD_UNUSABLE' as const, message: record.why };
  const wayOut = wayDown(owner, serviceOf(owner, config), { epoch, reason, failure, nowMs: parts.wall() });
  const sameKey = keys.engagement(owner.engagement) === key;
  // One that the store has not written can only be deleted. The mark of the volume keeps it from being used meanwhile.
  if (sameKey && revision < 1) await store.delete(key, revision);
  await store.put(keys.engagement(owner.engagement), wayOut, sameKey ? Math.max(0, revision) : 0);
  if (!sameKey) await store.delete(key, revision);
  return true;
}

/** null: no volume is marked for it. */
function ownerOf({ key }: UnusableRecord, marked: readonly Marked[] | null): Marked | null {
  const refuse = (code: 'STORAGE_FAILED' | 'ENGAGEMENT_REFUSED', why: string): never => {
    throw new UnderstudyError(code, `${shown(key)} cannot be dismissed: ${why}`);
  };
  if (marked === null) {
    return refuse(
      'STORAGE_FAILED',
      'the storage node does not answer, so it is not known which volume is marked for it',
    );
  }
  if (marked.length > 1) {
    const hosts = marked.map(({ host }) => host).join(' and ');
    return refuse('ENGAGEMENT_REFUSED', `the volumes of ${hosts} are marked for it`);
  }
  return marked[0] ?? null;
}

/** By the name of the engagement, or by the pool that has the host. @throws ENGAGEMENT_REFUSED */
export function serviceOf({ host, engagement }: Marked, config: Configuration) {
  const service =
    config.services.get(serviceOfKey(keys.engagement(engagement))) ??
    [...config.services.values()].find(({ pool }) => pool.includes(host));
  if (service !== undefined) return service;
  const why = `${host} is in no pool, so it is not known which service it serves`;
  throw new UnderstudyError('ENGAGEMENT_REFUSED', `${engagement} cannot be dismissed: ${why}; put it into one`);
}

interface Cause {
  readonly epoch: number;
  readonly reason: string;
  readonly failure: Pick<NonNullable<Engagement['failure']>, 'code' | 'message'>;
  readonly nowMs: number;
}

/** A record of the way down, for a host of which nothing but the mark of its volume is known. */
export function wayDown(
  { host: understudy, engagement: name }: Marked,
  { name: service, lead }: { readonly name: string; readonly lead: string },
  { epoch, reason, failure, nowMs: now }: Cause,
): Engagement {
  const stage = { startedAt: now, endedAt: now };
  return {
    ...{ name, service, lead, understudy, epoch },
    sequence: Number(/-(\d{1,12})$/.exec(name)?.[1] ?? 0),
    origin: 'manual',
    goal: 'release',
    reason,
    phase: 'drain',
    ended: false,
    createdAt: now,
    // As if it had been admitted: then it is taken out of the director, whether it is there or not.
    stages: [
      { phase: 'admit', ...stage },
      { phase: 'drain', startedAt: now, endedAt: null },
    ],
    reboots: 0,
    failure: { ...failure, phase: 'drain', at: now },
    hold: null,
    failed: true,
    takenAt: null,
    proof: null,
    admittedAt: null,
    breach: null,
  };
}

/** What a dismissal by force will do, and what it may leave, before anybody says yes. */
export function explain(found: Found, config: Configuration): DismissalView {
  return found.kind === 'engagement' ? explainForced(found.engagement) : explainUnusable(found, config);
}

function explainForced({ name, understudy, phase, ended }: Engagement): DismissalView {
  const view = { engagement: name, understudy, reason: null };
  if (ended) return { ...view, does: ['nothing: it is over'], leaves: [] };
  const ahead = phases.slice(isUp(phase) ? phases.indexOf('drain') : phases.indexOf(phase));
  const does = ahead.map((one) => `${one}: ${DOES[one]?.(understudy, name) ?? ''}`);
  const leaves = ahead.map((one) => `${one}: ${LEAVES[one]?.(understudy, name) ?? ''}`);
  return { ...view, does, leaves };
}

function explainUnusable(
  { record, marked }: Extract<Found, { kind: 'unusable' }>,
  config: Configuration,
): DismissalView {
  const name = record.key.slice(keys.engagements.length);
  const owner = ownerOf(record, marked);
  const view = { engagement: shown(name), understudy: owner?.host ?? null, reason: shown(record.why) };
  if (owner === null) {
    const does = ['deletes the record: no volume is marked for it, so nothing was written for it'];
    return { ...view, does, leaves: ['power: a host that it may have switched off or on stays as it is'] };
  }
  const { name: service } = serviceOf(owner, config);
  const does = [`replaces the record by one that takes ${owner.host} off ${service}: drain, off, restore, release`];
  return { ...view, does, leaves: ['what else the record said is lost'] };
}

type Sentence = (host: string, engagement: string) => string;

const DOES: Partial<Record<Phase, Sentence>> = {
  drain: (host) => `takes ${host} out of the director, once its connections are closed`,
  off: (host) => `switches ${host} off, and sees that it is off`,
  restore: (host) => `puts the own data of ${host} back`,
  release: (_, engagement) => `deletes the backup of ${engagement}`,
};

const LEAVES: Partial<Record<Phase, Sentence>> = {
  drain: (host) => `if it fails, ${host} stays in the director; remove it there`,
  off: (host, engagement) =>
    `if it fails, nothing after it is done: ${host} keeps the replica, its own data stay in the backup of ${engagement}, ` +
    `${host} is in no pool, and counts as a host of the service until it is seen to be off`,
  restore: (host, engagement) =>
    `if it fails, its own data stay in the backup of ${engagement}, and ${host} is in no pool`,
  release: (_, engagement) => `if it fails, the backup of ${engagement} stays`,
};
