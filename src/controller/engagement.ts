// The reconciler of engagements: given a name, it reads the record, does one step of its phase, and writes what came of
// it. It remembers nothing; after a crash at any instruction the next call goes on.
import { codeOf, epochStale, errorRegistry, messageOf, present, UnderstudyError } from '../base/mod.ts';
import type { Phase } from './contract.ts';
import type { Journal } from './journal.ts';
import { occupied } from './occupied.ts';
import { type Context, hostOf, serviceOf } from './parts.ts';
import type { Again, Look, Reconciler } from './reconciler.ts';
import { type Engagement, end, enter, isUp, keys, phases, timeToCapacity } from './record.ts';
import { getEngagement, listEngagements, updateRecord } from './records.ts';
import type { Step, StepOutcome } from './step.ts';
import { drain, off, release, restore } from './steps-down.ts';
import { admit, boot, choose, fence, personalise, preserve, prove, replicate, serving } from './steps-up.ts';
import type { Try } from './tries.ts';
import { Uncaught } from './uncaught.ts';
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
/** Tries of a phase, on the way down as well, that ended this process. */
const LOST_MAX = 5;
const REBOOTS_MAX = 3;
const BACKOFF_MS_MIN = 1000;
const BACKOFF_MS_MAX = 30_000;

/** Phases that change a host that may still be somebody else's. `choose` asks the same, with what else it asks. */
const TAKES: readonly Phase[] = ['fence', 'preserve', 'replicate'];
const TURN = 'turn';
/**
 * What may be left undone on the way down: nothing is lost, and nobody is in the way of anybody, when the steps after
 * it are done.
 */
const MAY_BE_LEFT: readonly Phase[] = ['drain', 'release'];

export const engagements: Reconciler = {
  async step({ context, name }) {
    try {
      const engagement = await engagementOf(context, name);
      if (engagement === null || context.unsettled !== undefined) return null;
      // That it turns round is a step of its own: what was tried before has nothing to do with it.
      return engagement.goal === 'release' && isUp(engagement.phase) ? TURN : engagement.phase;
    } catch (error) {
      // Told by who looks through all records; nothing is done by it.
      if (codeOf(error) === 'RECORD_UNUSABLE') return null;
      throw error;
    }
  },
  run: reconcileEngagement,
  exhausted,
};

/** null: there is none, or it is over. @throws RECORD_UNUSABLE */
async function engagementOf({ parts }: Context, name: string): Promise<Engagement | null> {
  const engagement = await getEngagement(parts.store, parts.config, name);
  return engagement === null || engagement.ended ? null : engagement;
}

async function reconcileEngagement(
  { context, world, journal, name }: Look,
  { begun }: Pick<Try, 'begun'>,
): Promise<Again> {
  const engagement = await engagementOf(context, name);
  if (engagement === null) return null;
  if (engagement.goal === 'release' && isUp(engagement.phase)) return turnRound(context, journal, engagement);
  const { config, store } = context.parts;
  try {
    if (TAKES.includes(engagement.phase)) {
      const { why } = await occupied(context, world, await listEngagements(store, config));
      const taken = why.get(engagement.understudy);
      if (taken !== undefined) throw new UnderstudyError('ENGAGEMENT_REFUSED', `${engagement.understudy}: ${taken}`);
    }
    const outcome = await steps[engagement.phase]({
      context,
      world,
      engagement,
      service: serviceOf(config, engagement.service),
      lead: hostOf(config, engagement.lead),
      understudy: hostOf(config, engagement.understudy),
      tell: (what, text) => tell(world, journal, engagement, what, text),
    });
    if (outcome.kind !== 'again') world.waits.delete(name);
    return await settle(context, journal, engagement, outcome);
  } catch (error) {
    const uncaught = context.signal.reason instanceof Uncaught ? context.signal.reason.cause : null;
    // Stopped from outside: nothing failed. A fenced-off controller must not write that something did.
    if (context.signal.aborted && uncaught === null) throw error;
    const code = codeOf(error);
    if (code === 'EPOCH_STALE' || code === 'LEASE_LOST' || code === 'STORE_CONFLICT') throw error;
    world.waits.delete(name);
    return fail(context, journal, engagement, uncaught ?? error, begun);
  } finally {
    world.progress.delete(name);
  }
}

/**
 * A step that was begun too often without an end is not begun again. The way up ends with it; on the way down what may
 * be left is left, and what must not be waits until somebody asks for it again.
 */
async function exhausted(
  { context, journal, name }: Look,
  { begun, lost }: Pick<Try, 'begun' | 'lost'>,
): Promise<Again | 'run'> {
  const engagement = await engagementOf(context, name);
  if (engagement === null) return 'run';
  const { phase, goal } = engagement;
  const up = isUp(phase);
  if (up && goal === 'release') return 'run';
  const most = up && phase !== 'serving' ? begun >= ATTEMPTS_UP_MAX && lost > 0 : lost >= LOST_MAX;
  if (!most) return 'run';
  const message = `${phase} was begun ${begun} times; the controller ended ${lost} times while it was under way`;
  if (up) {
    await giveUp(context, journal, engagement, 'TRIES_EXHAUSTED', message);
    return { inMs: 0 };
  }
  if (engagement.forced === true || MAY_BE_LEFT.includes(phase)) {
    return leave(context, journal, engagement, 'TRIES_EXHAUSTED', message);
  }
  if (engagement.hold?.code === 'TRIES_EXHAUSTED') return null;
  const hold = failureOf(context, engagement, 'TRIES_EXHAUSTED', message);
  await change(context, engagement, (now) => ({ ...now, hold }));
  await note(journal, engagement, `${message}; it waits until it is asked for again`, 'TRIES_EXHAUSTED');
  return null;
}

/**
 * Writes the record anew. What others changed meanwhile (its goal) stays; a record that has moved on is not moved back.
 * @throws STORE_CONFLICT, EPOCH_STALE
 */
async function change(context: Context, seen: Engagement, edit: (now: Engagement) => Engagement): Promise<Engagement> {
  const record = await updateRecord<Engagement>(context.parts.store, keys.engagement(seen.name), (now) => {
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
      if (engagement.hold !== null) await change(context, engagement, (now) => ({ ...now, hold: null }));
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

/**
 * Leaves a step of the way down undone. What may be left is passed over; without any other step none after it can be
 * done, and the engagement is over as it is: its backup stays, and its host is in no pool (`occupied.ts`).
 */
async function leave(
  context: Context,
  journal: Journal,
  engagement: Engagement,
  code: string,
  message: string,
): Promise<Again> {
  const { phase } = engagement;
  await note(journal, engagement, `${phase} is left undone: ${message} (${code})`, code);
  const left = [...(engagement.left ?? []), phase];
  if (MAY_BE_LEFT.includes(phase)) return finishPhase(context, journal, engagement, { left });
  const rest = phases.slice(phases.indexOf(phase) + 1);
  const failure = engagement.failure ?? failureOf(context, engagement, code, message);
  const patch = { left: [...left, ...rest], failed: true, failure };
  await change(context, engagement, (now) => end({ ...now, ...patch }, context.parts.wall()));
  return null;
}

async function fail(
  context: Context,
  journal: Journal,
  engagement: Engagement,
  error: unknown,
  begun: number,
): Promise<Again> {
  const code = codeOf(error) ?? 'INTERNAL';
  const message = messageOf(error);
  const { phase } = engagement;
  if (code === 'INTERNAL') journal.defect(keys.engagement(engagement.name), error);
  const up = isUp(phase);
  const retried = code !== 'INTERNAL' && errorRegistry[code].retry === 'backoff';
  // One that serves keeps serving: a director or a relay that cannot be asked for a while is no reason to take it away.
  const patient = !up || phase === 'serving';
  if (!patient && !(retried && begun < ATTEMPTS_UP_MAX)) {
    await giveUp(context, journal, engagement, code, begun > 1 ? `${message}; it was tried ${begun} times` : message);
    return { inMs: 0, failed: true };
  }
  if (!up && engagement.forced === true) return leave(context, journal, engagement, code, message);
  const hold = failureOf(context, engagement, code, message);
  await change(context, engagement, (now) => ({ ...now, hold }));
  if (engagement.hold === null)
    await note(journal, engagement, `${phase} failed and is tried again: ${message} (${code})`, code);
  return { inMs: Math.min(BACKOFF_MS_MAX, BACKOFF_MS_MIN * 2 ** Math.min(begun - 1, 16)), failed: true };
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

async function tell(world: World, journal: Journal, engagement: Engagement, what: string, text: string): Promise<void> {
  const { name, phase } = engagement;
  const before = world.waits.get(name);
  world.waits.set(name, { phase, what, text });
  if (before?.phase === phase && before.what === what) return;
  await note(journal, engagement, `${phase} waits for ${text}`);
}

async function note(journal: Journal, engagement: Engagement, text: string, code: string | null = null): Promise<void> {
  await journal.event({
    kind: code === null ? 'engagement' : 'error',
    subject: `engagement/${engagement.name}`,
    text: `${engagement.understudy} for ${engagement.lead}: ${text}`,
    data: { engagement: engagement.name, service: engagement.service, phase: engagement.phase, code },
  });
}
