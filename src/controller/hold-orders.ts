// Orders of people that hold the controller back, and those that let it go on.
import { UnderstudyError } from '../base/mod.ts';
import { holdText } from './holds.ts';
import type { Journal } from './journal.ts';
import { isLeft } from './occupied.ts';
import type { Context } from './parts.ts';
import { type Engagement, type Hold, keys } from './record.ts';
import { getRecord, updateRecord } from './records.ts';

/** After a dismissal by hand, where nothing else is said. */
export const DISMISSAL_HOLD_MS = 3_600_000;

/** @param order `forMs`: milliseconds; null: until it is resumed @throws RECORD_UNUSABLE */
export function pauseService(
  context: Context,
  journal: Journal,
  { name, forMs, by }: { readonly name: string; readonly forMs: number | null; readonly by: string | null },
): Promise<Hold> {
  const sinceMs = context.parts.wall();
  const untilMs = forMs === null ? null : sinceMs + forMs;
  return putHold(context, journal, { kind: 'pause', name, hosts: [], by, sinceMs, untilMs });
}

/** @returns what was lifted @throws RECORD_UNUSABLE */
export async function resumeService(
  context: Context,
  journal: Journal,
  order: { readonly name: string; readonly by: string | null },
): Promise<readonly Hold[]> {
  const pause = await liftHold(context, journal, { kind: 'pause', ...order });
  const dismissal = await liftHold(context, journal, { kind: 'dismissal', ...order });
  return [pause, dismissal].filter((hold) => hold !== null);
}

/** @returns the hold that is there now; null: none @throws RECORD_UNUSABLE */
export async function maintain(
  context: Context,
  journal: Journal,
  { name, state, by }: { readonly name: string; readonly state: 'on' | 'off'; readonly by: string | null },
): Promise<Hold | null> {
  const kind = 'maintenance';
  if (state === 'on') {
    return putHold(context, journal, { kind, name, hosts: [], by, sinceMs: context.parts.wall(), untilMs: null });
  }
  await liftHold(context, journal, { kind, name, by });
  return null;
}

/** Puts a hold in place of one of the same kind and name. Durable when it resolves. @throws RECORD_UNUSABLE */
async function putHold({ parts }: Context, journal: Journal, hold: Hold): Promise<Hold> {
  await updateRecord<Hold>(parts.store, keys.hold(hold.kind, hold.name), () => hold);
  await tell(journal, hold, holdText(hold));
  return hold;
}

/**
 * Nothing of the service is engaged for a while but by hand; a dismissal before it is not forgotten, and holds no
 * shorter.
 */
export async function holdAfterDismissal(
  { parts }: Context,
  journal: Journal,
  { service, understudy }: { readonly service: string; readonly understudy: string | null },
  { holdMs, by }: { readonly holdMs: number; readonly by: string | null },
): Promise<void> {
  if (holdMs <= 0) return;
  const sinceMs = parts.wall();
  const spares = understudy === null ? [] : [understudy];
  const fresh: Hold = { kind: 'dismissal', name: service, hosts: spares, by, sinceMs, untilMs: sinceMs + holdMs };
  const record = await updateRecord<Hold>(parts.store, keys.hold('dismissal', service), (before) => {
    if (before === null || (before.untilMs ?? 0) <= sinceMs) return fresh;
    const hosts = [...new Set([...before.hosts, ...spares])];
    return { ...fresh, hosts, untilMs: Math.max(before.untilMs ?? 0, sinceMs + holdMs) };
  });
  if (record !== null) await tell(journal, record.value, holdText(record.value));
}

/** @returns the hold that was lifted; null: there was none @throws RECORD_UNUSABLE */
async function liftHold(
  { parts }: Context,
  journal: Journal,
  { kind, name, by }: Pick<Hold, 'kind' | 'name' | 'by'>,
): Promise<Hold | null> {
  const record = await getRecord<Hold>(parts.store, keys.hold(kind, name));
  if (record === null) return null;
  await parts.store.delete(record.key, record.revision);
  const { value } = record;
  if (value.untilMs !== null && value.untilMs <= parts.wall()) return null;
  await tell(journal, value, `lifted${by === null ? '' : ` by ${by}`}: ${holdText(value)}`);
  return value;
}

/** Removes what holds no longer. */
export async function forgetExpired(
  { parts }: Context,
  journal: Journal,
  expired: readonly (Hold & { readonly revision: number })[],
): Promise<void> {
  for (const hold of expired) {
    await parts.store.delete(keys.hold(hold.kind, hold.name), hold.revision);
    await tell(journal, hold, `over: ${holdText(hold)}`);
  }
}

async function tell(journal: Journal, { kind, name, untilMs }: Hold, text: string): Promise<void> {
  const subject = `${kind === 'maintenance' ? 'host' : 'service'}/${name}`;
  await journal.event({ kind: 'hold', subject, text, data: { hold: kind, untilMs } });
}

/** Takes note that an engagement failed. @throws ENGAGEMENT_UNKNOWN, ENGAGEMENT_REFUSED, RECORD_UNUSABLE */
export async function acknowledge({ parts }: Context, name: string): Promise<void> {
  await updateRecord<Engagement>(parts.store, keys.engagement(name), (now) => {
    if (now === null) throw new UnderstudyError('ENGAGEMENT_UNKNOWN', `there is no engagement "${name}"`);
    const refuse = (why: string): never => {
      throw new UnderstudyError('ENGAGEMENT_REFUSED', `${name} cannot be acknowledged: ${why}`);
    };
    if (!now.ended) refuse(`it is under way (${now.phase}); "understudy dismiss ${name}" ends it`);
    if (isLeft(now)) refuse(`${now.left?.join(', ')} was left undone; "understudy dismiss ${name}" does it`);
    if (!now.failed || now.acknowledgedAt !== undefined) return now;
    return { ...now, acknowledgedAt: parts.wall() };
  });
}
