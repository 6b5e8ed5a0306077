// The way up: from the choice of a spare to the understudy on stage. Every step reads what is, and does what is
// missing.
import { UnderstudyError } from '../base/mod.ts';
import { leaveDirectors, refuseForeignServers } from './director-places.ts';
import { Holds } from './holds.ts';
import { occupied } from './occupied.ts';
import { directorOf, powerOf, within } from './parts.ts';
import { holdersOf, ownMacs, proveLife, refuseStrangers } from './proof-of-life.ts';
import { type Engagement, phaseSince } from './record.ts';
import { listEngagements } from './records.ts';
import {
  identityOf,
  isReplaced,
  powerState,
  type Step,
  type StepInput,
  surePowerState,
  switchOff,
  volumeOf,
} from './step.ts';

/** How long one look of prove lasts at most and at least; a search for others at an address takes two seconds. */
const PROVE_LOOK_MS_MAX = 20_000;
const PROVE_LOOK_MS_MIN = 3000;
/** How often one that serves is looked after. */
const SERVING_POLL_MS = 3000;

/** The spare may be used, and the service may have one more host. Nothing has been touched yet. */
export const choose: Step = async (input) => {
  const { context, engagement, service, lead, understudy } = input;
  const refuse = (why: string): never => {
    throw new UnderstudyError('ENGAGEMENT_REFUSED', `${understudy.name} cannot be engaged for ${lead.name}: ${why}`);
  };
  // Earlier ones have precedence, so that of two controllers, one of which does not know yet that it was replaced, no
  // two engagements take one spare or pass the maximum.
  const engagements = await listEngagements(context.parts.store, context.parts.config);
  const earlier = engagements.all.filter((other) => !other.ended && isEarlier(other, engagement));
  const rival = earlier.find((other) => other.understudy === understudy.name);
  if (rival !== undefined) refuse(`${rival.name} has it`);
  const { why, countOf } = await occupied(context, input.world, engagements);
  const taken = why.get(understudy.name);
  if (taken !== undefined) refuse(taken);
  const hosts = 2 + countOf(service) + earlier.filter((other) => other.service === service.name).length;
  if (hosts > service.hostsMax)
    refuse(`${service.name} would have ${hosts} hosts, and at most ${service.hostsMax} are allowed`);
  for (const other of context.parts.config.services.values()) {
    if (other.lead === understudy.name) refuse(`it leads ${other.name}`);
  }
  const [from, to] = [await volumeOf(input, lead), await volumeOf(input, understudy)];
  if (to.sizeBytes < from.sizeBytes) {
    refuse(`its volume has ${to.sizeBytes} bytes, and that of ${lead.name} has ${from.sizeBytes}`);
  }
  if (isReplaced(to) && !understudy.expendable) refuse(`its volume does not hold its own data (${to.content.kind})`);
  const power = await powerState(input, understudy);
  if (power === 'unknown') {
    throw new UnderstudyError('POWER_UNKNOWN', `nobody can tell whether ${understudy.name} is on; nothing was changed`);
  }
  await refuseForeignServers(input);
  refuseStrangers(input, await holdersOf(input), power === 'on' ? ownMacs(input) : []);
  // Last, as all this takes seconds, in which somebody may order otherwise.
  const held = await heldBack(input);
  if (held !== null) refuse(held);
  return { kind: 'done' };
};

/** Why somebody does not want it, who may have said so while it was being decided. */
async function heldBack({ context, engagement, service, lead, understudy }: StepInput): Promise<string | null> {
  const holds = await Holds.read(context.parts);
  const maintained = holds.maintenanceOf(understudy.name) ?? holds.maintenanceOf(lead.name);
  return maintained ?? (engagement.origin === 'automatic' ? holds.against(service, 'scale-out') : null);
}

function isEarlier(other: Engagement, engagement: Engagement): boolean {
  if (other.sequence !== engagement.sequence) return other.sequence < engagement.sequence;
  return other.name < engagement.name;
}

/**
 * The spare gets no requests, is off, and cannot write its volume even if it were not; and nobody answers at its
 * address. Seed rows P7, P15.
 */
export const fence: Step = async (input) => {
  const { context, service, understudy } = input;
  const leaving = await leaveDirectors(input, false);
  if (leaving !== null) return leaving;
  if ((await powerState(input, understudy)) === 'off') {
    // Both take a second or two, and neither needs the other.
    const both = await Promise.allSettled([switchOff(input, understudy), refuseHolders(input)]);
    for (const one of both) if (one.status === 'rejected') throw one.reason;
  } else {
    await switchOff(input, understudy);
    await refuseHolders(input);
  }
  await within(context, `detaching ${understudy.volume}`, service.timeoutsMs.call, (call) =>
    context.parts.storage.detach(understudy.volume, call),
  );
  return { kind: 'done' };
};

async function refuseHolders(input: StepInput): Promise<void> {
  refuseStrangers(input, await holdersOf(input), []);
}

/** What the spare holds can be had back. Seed row P17. */
export const preserve: Step = async (input) => {
  const { context, engagement, service, understudy } = input;
  if (understudy.expendable) return { kind: 'done' };
  await within(context, `backing ${understudy.volume} up`, service.timeoutsMs.copy, (call) =>
    context.parts.storage.backup(understudy.volume, engagement.name, call, (progress) =>
      input.world.progress.set(engagement.name, progress),
    ),
  );
  return { kind: 'done' };
};

/** The spare's volume shows the lead's at one moment. Seed rows P2, P3. */
export const replicate: Step = async (input) => {
  const { context, engagement, service, lead, understudy } = input;
  const onProgress = (progress: { bytesDone: number; bytesTotal: number }): void => {
    input.world.progress.set(engagement.name, progress);
  };
  const portion = service.portion === null ? null : { paths: service.portion, accept: service.acceptUnknown };
  const { takenAt } = await within(context, `copying ${lead.volume}`, service.timeoutsMs.copy, (call) =>
    context.parts.storage.replicate(
      { engagement: engagement.name, from: lead.volume, to: understudy.volume, portion, onProgress },
      call,
    ),
  );
  return { kind: 'done', patch: { takenAt } };
};

/** The replica is somebody of its own. Seed rows P4, P5. */
export const personalise: Step = async (input) => {
  const { context, engagement, service, lead, understudy } = input;
  const request = {
    engagement: engagement.name,
    volume: understudy.volume,
    lead: await identityOf(context, lead),
    understudy: await identityOf(context, understudy),
    host: understudy.name,
    accept: service.acceptUnknown,
  };
  const { proof } = await within(context, `giving ${understudy.volume} its identity`, service.timeoutsMs.copy, (call) =>
    context.parts.storage.personalise(request, call),
  );
  return { kind: 'done', patch: { proof } };
};

/**
 * Only a verified replica is attached (the storage node refuses others), and only to an address that nobody else has.
 * Row P12.
 */
export const boot: Step = async (input) => {
  const { context, service, understudy } = input;
  const { call: callMs } = service.timeoutsMs;
  const [state, holders] = await Promise.all([surePowerState(input, understudy), holdersOf(input)]);
  if (state === 'unknown')
    throw new UnderstudyError('POWER_UNKNOWN', `nobody can tell whether ${understudy.name} is on`);
  if (state === 'off') {
    const leaving = await leaveDirectors(input, true);
    if (leaving !== null) return leaving;
  }
  // One that an earlier try has switched on may answer itself.
  refuseStrangers(input, holders, state === 'on' ? ownMacs(input) : []);
  await within(context, `attaching ${understudy.volume}`, callMs, (call) =>
    context.parts.storage.attach(understudy.volume, understudy.name, call),
  );
  const driver = powerOf(context.parts, understudy);
  await within(context, `switching ${understudy.name} on`, callMs, (call) => driver.on(understudy.name, call));
  return { kind: 'done' };
};

/** It answers at its own address, shows the keys that were made for it, and is alone with its address. */
export const prove: Step = async (input) => {
  const { context, engagement, service, understudy } = input;
  const { name } = understudy;
  const { boot: bootMs } = service.timeoutsMs;
  const waitedMs = (): number => context.parts.wall() - phaseSince(engagement);
  const leftMs = Math.max(PROVE_LOOK_MS_MIN, bootMs - waitedMs());
  const proof = await proveLife(input, Math.min(PROVE_LOOK_MS_MAX, leftMs));
  if (proof.kind === 'alive') return { kind: 'done' };
  if (proof.kind === 'off') return { kind: 'back', to: 'boot', reason: `${name} went off while it was coming up` };
  if (waitedMs() < bootMs) return { kind: 'again', inMs: 0 };
  const seconds = Math.round(waitedMs() / 1000);
  throw new UnderstudyError('PROVE_FAILED', `${name} after ${seconds} s: missing: ${proof.what.join(', ')}`);
};

/** The director sends it its kind of traffic. Seed rows P5, P6. */
export const admit: Step = async (input) => {
  await admitServer(input);
  return { kind: 'done', patch: { admittedAt: input.context.parts.wall() } };
};

async function admitServer(input: StepInput): Promise<void> {
  const { context, service, understudy } = input;
  const server = {
    name: understudy.name,
    address: understudy.address,
    port: service.port,
    traffic: service.traffic,
  };
  await within(context, `admitting ${understudy.name}`, service.timeoutsMs.call, (call) =>
    directorOf(context.parts, service).admit(service.name, server, call),
  );
}

/** Stays on stage: a director that was restarted is told again, and an understudy that went off is started again. */
export const serving: Step = async (input) => {
  const { context, service, understudy } = input;
  const state = await surePowerState(input, understudy);
  const director = directorOf(context.parts, service);
  if (state === 'off') {
    await within(context, `removing ${understudy.name}`, service.timeoutsMs.call, (call) =>
      director.remove(service.name, understudy.name, call),
    );
    return { kind: 'back', to: 'boot', reason: `${understudy.name} went off while it served` };
  }
  const { servers } = await within(context, `asking ${director.name}`, service.timeoutsMs.call, (call) =>
    director.observe(service.name, call),
  );
  const seen = servers.find(({ name }) => name === understudy.name);
  const right =
    seen !== undefined &&
    seen.address === understudy.address &&
    seen.port === service.port &&
    seen.traffic === service.traffic;
  // One that fails the director's own check is down there by right; only what was forgotten or turned off is put back.
  if (!right || seen.state === 'drain' || seen.state === 'maint') await admitServer(input);
  return { kind: 'again', inMs: SERVING_POLL_MS };
};
