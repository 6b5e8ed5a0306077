// The reconciler of engagements: given a name, it reads the record, does one step of its phase, and writes what came of it.
// It remembers nothing; after a crash at any instruction the next call goes on.
import { AssertionError } from 'node:assert';
import { codeOf, epochStale, errorRegistry, messageOf, present, UnderstudyError } from '../base/mod.ts';
import { update } from '../store/mod.ts';
import type { Phase } from './contract.ts';
import type { Journal } from './journal.ts';
import { type Context, hostOf, serviceOf } from './parts.ts';
import { type Engagement, end, enter, isUp, keys, phases, timeToCapacity } from './record.ts';
import type { Step, StepOutcome } from './step.ts';
import { drain, off, release, restore } from './steps-down.ts';
import { admit, boot, choose, fence, personalise, preserve, prove, replicate, serving } from './steps-up.ts';
import type { World } from './world.ts';

const steps: Readonly<Record<Phase, Step>> = {
  choose,
  fence,
  preserve,
  replicate,
  personalise,
  boot,
  prove,
  admit,
  serving,
  drain,
  off,
  restore,
  release,
};

/** Tries of one phase on the way up; the way down is tried until it is done. */
const ATTEMPTS_UP_MAX = 5;
const REBOOTS_MAX = 3;
const BACKOFF_MS_MIN = 1000;
const BACKOFF_MS_MAX = 30_000;

/** When to look again; null: it has ended. */
export type Again = { readonly inMs: number } | null;

export async function reconcileEngagement(
  context: Context,
  world: World,
  journal: Journal,
  name: string,
): Promise<Again> {
  const record = await context.parts.store.get<Engagement>(keys.engagement(name));
  if (record === null || record.value.ended) return null;
  const engagement = record.value;
  if (engagement.goal === 'release' && isUp(engagement.phase)) return turnRound(context, journal, engagement);
  const { config } = context.parts;
  try {
    const outcome = await steps[engagement.phase]({
      context,
      world,
      engagement,
      service: serviceOf(config, engagement.service),
      lead: hostOf(config, engagement.lead),
      understudy: hostOf(config, engagement.understudy),
    });
    return await settle(context, journal, engagement, outcome);
  } catch (error) {
    // Stopped from outside: nothing failed. A fenced-off controller must not write that something did.
    if (context.signal.aborted || error instanceof AssertionError) throw error;
    const code = codeOf(error);
    if (code === 'EPOCH_STALE' || code === 'LEASE_LOST' || code === 'STORE_CONFLICT') throw error;
    return fail(context, journal, engagement, error);
  } finally {
    world.progress.delete(name);
  }
}

/**
 * Writes the record anew. What others changed meanwhile (its goal) stays; a record that has moved on is not moved back.
 * @throws STORE_CONFLICT, EPOCH_STALE
 */
async function change(context: Context, seen: Engagement, edit: (now: Engagement) => Engagement): Promise<Engagement> {
  const record = await update<Engagement>(context.parts.store, keys.engagement(seen.name), (now) => {
    if (now === null || now.ended || now.phase !== seen.phase) {
      throw new UnderstudyError('STORE_CONFLICT', `${seen.name} has left the phase ${seen.phase} meanwhile`);
    }
    if (now.epoch > context.epoch) throw epochStale(seen.name, context.epoch, now.epoch);
    return { ...edit(now), epoch: context.epoch };
  });
  return present(record, 'an engagement is changed, not deleted').value;
}

async function turnRound(context: Context, journal: Journal, engagement: Engagement): Promise<Again> {
  await move(context, journal, engagement, 'drain', {});
  return { inMs: 0 };
}

async function move(
  context: Context,
  journal: Journal,
  engagement: Engagement,
  to: Phase,
  patch: Partial<Engagement>,
): Promise<void> {
  const now = context.parts.wall();
  const moved = await change(context, engagement, (current) => enter({ ...current, ...patch }, to, now));
  await stageOver(journal, moved, engagement.phase);
}

async function stageOver(journal: Journal, engagement: Engagement, phase: Phase): Promise<void> {
  const stage = engagement.stages.findLast((one) => one.phase === phase && one.endedAt !== null);
  if (stage === undefined) return;
  const seconds = ((stage.endedAt ?? stage.startedAt) - stage.startedAt) / 1000;
  const subject = `engagement/${engagement.name}`;
  const { service, name } = engagement;
  const next = engagement.ended ? 'done' : engagement.phase;
  await journal.event({
    kind: 'stage',
    subject,
    text: `${engagement.understudy} for ${engagement.lead}: ${phase} took ${seconds.toFixed(1)} s, now ${next}`,
    data: { engagement: name, service, phase, seconds },
  });
  const capacity = timeToCapacity(engagement);
  if (phase === 'admit' && capacity !== null && engagement.phase === 'serving') {
    const text = `${engagement.understudy} takes traffic of ${service} ${capacity.toFixed(1)} s after it was asked for`;
    await journal.event({ kind: 'capacity', subject, text, data: { engagement: name, service, seconds: capacity } });
  }
}

async function settle(
  context: Context,
  journal: Journal,
  engagement: Engagement,
  outcome: StepOutcome,
): Promise<Again> {
  switch (outcome.kind) {
    case 'again':
      if (engagement.attempts > 0) await change(context, engagement, (now) => ({ ...now, attempts: 0, hold: null }));
      return { inMs: outcome.inMs };
    case 'done':
      return finishPhase(context, journal, engagement, outcome.patch ?? {});
    case 'back': {
      const reboots = engagement.reboots + 1;
      await note(journal, engagement, outcome.reason);
      if (reboots <= REBOOTS_MAX) await move(context, journal, engagement, outcome.to, { reboots });
      else await giveUp(context, journal, engagement, 'PROVE_FAILED', `${outcome.reason}, for the ${reboots}th time`);
      return { inMs: 0 };
    }
  }
}

async function finishPhase(
  context: Context,
  journal: Journal,
  engagement: Engagement,
  patch: Partial<Engagement>,
): Promise<Again> {
  const next = phases[phases.indexOf(engagement.phase) + 1];
  if (next !== undefined) {
    await move(context, journal, engagement, next, patch);
    return { inMs: 0 };
  }
  const now = context.parts.wall();
  const ended = await change(context, engagement, (current) => end({ ...current, ...patch }, now));
  await stageOver(journal, ended, engagement.phase);
  return null;
}

async function fail(context: Context, journal: Journal, engagement: Engagement, error: unknown): Promise<Again> {
  const code = codeOf(error) ?? 'INTERNAL';
  const message = messageOf(error);
  const attempts = engagement.attempts + 1;
  const up = isUp(engagement.phase);
  const retried = code !== 'INTERNAL' && errorRegistry[code].retry === 'backoff';
  // One that serves keeps serving: a director or a relay that cannot be asked for a while is no reason to take it away.
  const patient = !up || engagement.phase === 'serving';
  if (!patient && !(retried && attempts < ATTEMPTS_UP_MAX)) {
    await giveUp(context, journal, engagement, code, message);
    return { inMs: 0 };
  }
  const hold = failureOf(context, engagement, code, message);
  await change(context, engagement, (now) => ({ ...now, attempts, hold }));
  if (attempts === 1)
    await note(journal, engagement, `${engagement.phase} failed and is tried again: ${message} (${code})`, code);
  return { inMs: Math.min(BACKOFF_MS_MAX, BACKOFF_MS_MIN * 2 ** (attempts - 1)) };
}

function failureOf(
  context: Context,
  engagement: Engagement,
  code: string,
  message: string,
): NonNullable<Engagement['failure']> {
  return {
    code: code as NonNullable<Engagement['failure']>['code'],
    message,
    phase: engagement.phase,
    at: context.parts.wall(),
  };
}

/** The way up ends here; the lead was never touched, and the spare gets its own back. */
async function giveUp(
  context: Context,
  journal: Journal,
  engagement: Engagement,
  code: string,
  message: string,
): Promise<void> {
  const failure = failureOf(context, engagement, code, message);
  await note(journal, engagement, `${engagement.phase} failed: ${message} (${code})`, code);
  const reason = `${engagement.phase} failed: ${message}`;
  await move(context, journal, engagement, 'drain', { goal: 'release', failed: true, failure, reason });
}

async function note(journal: Journal, engagement: Engagement, text: string, code: string | null = null): Promise<void> {
  await journal.event({
    kind: code === null ? 'engagement' : 'error',
    subject: `engagement/${engagement.name}`,
    text: `${engagement.understudy} for ${engagement.lead}: ${text}`,
    data: { engagement: engagement.name, service: engagement.service, phase: engagement.phase, code },
  });
}
