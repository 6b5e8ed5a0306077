// Looks through the whole store for records that cannot be used, at the start and every minute: whoever runs the
// controller is to hear of each, also of those that nothing needs at present.
import { shown, UnderstudyError } from '../base/mod.ts';
import type { StoredRecord } from '../store/mod.ts';
import type { ControllerParts } from './parts.ts';
import type { Again, Look } from './reconciler.ts';
import { keys } from './record.ts';
import { flawOfRecord, listEngagements, type UnusableRecord } from './records.ts';

const LOOK_MS = 60_000;
/** Kinds that can be many, and on which nothing rests: they stand in the log and in the status. */
const QUIET = [keys.events, 'decision/'];
/** As events; the log has them all. */
const TOLD_MAX = 50;

export async function reconcileRecords({ context, world, journal }: Look): Promise<Again> {
  const found = await unusableRecords(context.parts, context.epoch, world.checked);
  const before = new Set(world.unusable.map(({ key }) => key));
  world.unusable = found;
  const news = found.filter(({ key }) => !before.has(key));
  const loud = news.filter(({ key }) => !QUIET.some((prefix) => key.startsWith(prefix)));
  for (const record of loud.slice(0, TOLD_MAX)) await journal.trouble(`record/${record.key}`, errorOf(record));
  for (const record of [...loud.slice(TOLD_MAX), ...news.filter((one) => !loud.includes(one))]) {
    journal.say({ level: 'warn', message: errorOf(record).message, code: 'RECORD_UNUSABLE' });
  }
  for (const key of before) if (!found.some((record) => record.key === key)) journal.well(`record/${key}`);
  return { inMs: LOOK_MS };
}

/**
 * Those that may own a host first.
 * @param epoch of the controller: higher ones are of nobody
 * @param checked revisions of records that were found to be good, by their key; they are not read again
 */
export async function unusableRecords(
  { store, config }: Pick<ControllerParts, 'store' | 'config'>,
  epoch: number,
  checked = new Map<string, number>(),
): Promise<readonly UnusableRecord[]> {
  const good = new Map(checked);
  checked.clear();
  const unusable: UnusableRecord[] = [];
  const stale: UnusableRecord[] = [];
  for (const record of await store.list('')) {
    const { key, revision, text } = record;
    const why = good.get(key) === revision ? null : flawOfRecord(record);
    if (why !== null) unusable.push({ key, revision, why, text });
    // Epochs are given by the lease, which this controller has: a higher one was given by nobody.
    const given = why === null ? epochOf(record) : 0;
    if (given > epoch) {
      stale.push({ key, revision, text, why: `its epoch ${given} is above that of this controller, ${epoch}` });
    } else if (why === null) checked.set(key, revision);
  }
  const lost = (await listEngagements(store, config)).unusable.filter(
    ({ key }) => !unusable.some((record) => record.key === key),
  );
  const all = [...unusable, ...lost, ...stale];
  const rank = ({ key }: UnusableRecord): number =>
    key.startsWith(keys.engagements) ? 0 : QUIET.some((prefix) => key.startsWith(prefix)) ? 2 : 1;
  return all.toSorted((a, b) => rank(a) - rank(b));
}

/** 0: it has none. */
function epochOf(record: StoredRecord): number {
  const { key } = record;
  if (!key.startsWith('epoch/') && !key.startsWith(keys.engagements)) return 0;
  const value: unknown = record.value;
  const given = typeof value === 'object' && value !== null && 'epoch' in value ? value.epoch : value;
  return typeof given === 'number' ? given : 0;
}

function errorOf({ key, why }: UnusableRecord): UnderstudyError {
  const text = why.startsWith('the record ') ? why : `the record ${shown(key)} cannot be used: ${shown(why)}`;
  return new UnderstudyError('RECORD_UNUSABLE', text);
}
