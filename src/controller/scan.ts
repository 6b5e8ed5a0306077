// Looks through the whole store for records that cannot be used, at the start and every minute: whoever runs the controller is to hear of
// each, also of those that nothing needs at present.
import { UnderstudyError } from '../base/mod.ts';
import type { ControllerParts } from './parts.ts';
import type { Again, Look } from './reconciler.ts';
import { keys } from './record.ts';
import { listEngagements, listRecords, type UnusableRecord } from './records.ts';

const LOOK_MS = 60_000;
/** Kinds that can be many, and on which nothing rests: they stand in the log and in the status. */
const QUIET = [keys.events, 'decision/'];
/** As events; the log has them all. */
const TOLD_MAX = 50;

export async function reconcileRecords({ context, world, journal }: Look): Promise<Again> {
  const found = await unusableRecords(context.parts, context.epoch);
  const before = new Set(world.unusable.map(({ key }) => key));
  world.unusable = found;
  const news = found.filter(({ key }) => !before.has(key));
  const loud = news.filter(({ key }) => !QUIET.some((prefix) => key.startsWith(prefix)));
  for (const record of loud.slice(0, TOLD_MAX)) await journal.trouble(`record/${record.key}`, errorOf(record));
  for (const record of [...loud.slice(TOLD_MAX), ...news.filter((one) => !loud.includes(one))]) {
    journal.say(errorOf(record).message);
  }
  for (const key of before) if (!found.some((record) => record.key === key)) journal.well(`record/${key}`);
  return { inMs: LOOK_MS };
}

/** Those that may own a host first. @param epoch of the controller: higher ones are of nobody */
export async function unusableRecords(
  { store, config }: Pick<ControllerParts, 'store' | 'config'>,
  epoch: number,
): Promise<readonly UnusableRecord[]> {
  const { usable, unusable } = await listRecords(store, '');
  const lost = (await listEngagements(store, config)).unusable.filter(
    ({ key }) => !unusable.some((record) => record.key === key),
  );
  // Epochs are given by the lease, which this controller has: a higher one was given by nobody.
  const stale = usable.flatMap(({ key, revision, value, text }) => {
    const given = key.startsWith('epoch/') ? value : key.startsWith(keys.engagements) ? epochIn(value) : null;
    if (typeof given !== 'number' || given <= epoch) return [];
    return [{ key, revision, text, why: `its epoch ${given} is above that of this controller, ${epoch}` }];
  });
  const all = [...unusable, ...lost, ...stale];
  const rank = ({ key }: UnusableRecord): number =>
    key.startsWith(keys.engagements) ? 0 : QUIET.some((prefix) => key.startsWith(prefix)) ? 2 : 1;
  return all.toSorted((a, b) => rank(a) - rank(b));
}

function epochIn(value: unknown): unknown {
  return typeof value === 'object' && value !== null && 'epoch' in value ? value.epoch : null;
}

function errorOf({ key, why }: UnusableRecord): UnderstudyError {
  const text = why.startsWith('the record ') ? why : `the record ${key} cannot be used: ${why}`;
  return new UnderstudyError('RECORD_UNUSABLE', text);
}
