// Places that a director has for a spare already: left by hand, or by a controller whose records were lost. With them
// the spare would get requests as soon as it answers, before it is proved.
import { codeOf, UnderstudyError } from '../base/mod.ts';
import type { ServiceConfig } from '../config/mod.ts';
import type { ObservedServer } from '../director/mod.ts';
import { directorOf, within } from './parts.ts';
import { phaseSince } from './record.ts';
import type { StepInput, StepOutcome } from './step.ts';

const POLL_MS = 500;

interface Place {
  readonly service: ServiceConfig;
  readonly server: ObservedServer;
}

/**
 * Of every service that has the spare in its pool. A director that cannot be asked is passed over, except that of the
 * service itself where it has to be known.
 */
async function placesOf(input: StepInput, mustKnow: boolean): Promise<readonly Place[]> {
  const { context, service: own, understudy } = input;
  const services = [...context.parts.config.services.values()].filter(
    ({ name, pool }) => name === own.name || pool.includes(understudy.name),
  );
  const found = await Promise.all(
    services.map(async (service) => {
      try {
        const { servers } = await within(context, 'asking the director', service.timeoutsMs.call, (call) =>
          directorOf(context.parts, service).observe(service.name, call),
        );
        return servers.map((server) => ({ service, server }));
      } catch (error) {
        const needed = mustKnow && service.name === own.name;
        if (needed || codeOf(error) === null || context.signal.aborted) throw error;
        return [];
      }
    }),
  );
  return found.flat();
}

/**
 * A server of another name at the spare's address is somebody's, and nothing of ours removes it.
 * @throws ENGAGEMENT_REFUSED, and the director's errors
 */
export async function refuseForeignServers(input: StepInput): Promise<void> {
  const { understudy, lead } = input;
  const foreign = (await placesOf(input, false)).find(
    ({ service, server: { name, address, port } }) =>
      name !== understudy.name && address === understudy.address && port === service.port,
  );
  if (foreign === undefined) return;
  const { service, server } = foreign;
  throw new UnderstudyError(
    'ENGAGEMENT_REFUSED',
    `${understudy.name} cannot be engaged for ${lead.name}: the director of ${service.name} has its address ` +
      `${server.address}:${server.port} as the server ${server.name}; remove that server`,
  );
}

/**
 * Takes the spare out of every director that has it: drained first, and removed when its connections are closed or
 * their time is over.
 * @param mustKnow the director of the service has to answer: the spare is about to be switched on
 * @returns what is waited for; null: it is in none
 */
export async function leaveDirectors(input: StepInput, mustKnow: boolean): Promise<StepOutcome | null> {
  const { understudy } = input;
  for (const { service, server } of await placesOf(input, mustKnow)) {
    if (server.name !== understudy.name) continue;
    const waiting = await takeOffStage(input, service, ` of ${service.name}`);
    if (waiting !== null) return waiting;
  }
  return null;
}

/**
 * No new requests for the understudy; when those under way are finished, or their time since the phase began is over,
 * it is removed.
 * @param whose for people, after "open connections" @returns what is waited for; null: it is out of the service
 */
export async function takeOffStage(
  { context, engagement, understudy: { name }, tell }: StepInput,
  service: ServiceConfig,
  whose = '',
): Promise<StepOutcome | null> {
  const director = directorOf(context.parts, service);
  const { call: callMs, drain: drainMs } = service.timeoutsMs;
  await within(context, `draining ${name}`, callMs, (call) => director.drain(service.name, name, call));
  const { servers } = await within(context, `asking ${director.name}`, callMs, (call) =>
    director.observe(service.name, call),
  );
  const open = servers.find((server) => server.name === name)?.connections ?? 0;
  if (open > 0 && context.parts.wall() - phaseSince(engagement) < drainMs) {
    await tell('connections', `the end of ${open} open connection${open === 1 ? '' : 's'}${whose}`);
    return { kind: 'again', inMs: POLL_MS };
  }
  await within(context, `removing ${name}`, callMs, (call) => director.remove(service.name, name, call));
  return null;
}
