// Hosts that no engagement may use although none has them: an unusable record may own them, or a dismissal by force
// left a step undone. As long as that is not seen to, they are in no pool, and count as hosts of the service.
import { codeOf } from '../base/mod.ts';
import type { ServiceConfig } from '../config/mod.ts';
import type { StorageStatus } from '../storage/mod.ts';
import { type Context, within } from './parts.ts';
import type { Engagement } from './record.ts';
import { type Engagements, heldHosts, serviceOfKey, type UnusableRecord } from './records.ts';
import type { World } from './world.ts';

const STORAGE_MS = 5000;
/** Power that was looked at longer ago than this is not known any more. */
const POWER_STALE_MS = 60_000;
/** Steps after which a host is whose it was. */
const ESSENTIAL = ['off', 'restore'] as const;

export interface Occupied {
  /** Why a host is in no pool, by its name; a host that is not here is not occupied. */
  readonly why: ReadonlyMap<string, string>;
  /** Hosts beside those of its engagements that count for a service's maximum. */
  readonly countOf: (service: ServiceConfig) => number;
}

export async function occupied(context: Context, world: World, engagements: Engagements): Promise<Occupied> {
  const { config, wall } = context.parts;
  const left = engagements.all.filter(isLeft);
  const { unusable } = engagements;
  if (left.length === 0 && unusable.length === 0) return { why: new Map(), countOf: () => 0 };
  const node = await storageOrNull(context);
  const held = heldHosts(engagements, config, node);
  const why = new Map<string, string>();
  for (const [host, record] of held) {
    why.set(host, `the record ${record.key}, which cannot be used, may own it`);
  }
  const mayRun = left.filter(({ understudy }) => mayBeOn(world, understudy, wall()));
  for (const one of left) why.set(one.understudy, leftReason(one));
  return {
    why,
    countOf: (service) =>
      unusable.filter((record) => countsFor(record, held, service)).length +
      mayRun.filter((one) => one.service === service.name).length,
  };
}

/** Ended by force before its host was whose it was. */
export function isLeft({ ended, left }: Engagement): boolean {
  return ended && ESSENTIAL.some((phase) => left?.includes(phase));
}

function leftReason({ name, left }: Engagement): string {
  return `${name} was dismissed by force without ${left?.join(', ')}; "understudy dismiss ${name}" does what was left`;
}

/** Off is what was seen a moment ago. */
function mayBeOn({ power }: World, host: string, nowMs: number): boolean {
  const seen = power.get(host);
  return seen === undefined || seen.state !== 'off' || nowMs - seen.atMs > POWER_STALE_MS;
}

/** One host for each record: of the service that its name begins with, and of each whose pool has what it may own. */
function countsFor(record: UnusableRecord, held: ReadonlyMap<string, UnusableRecord>, service: ServiceConfig): boolean {
  return serviceOfKey(record.key) === service.name || service.pool.some((host) => held.get(host)?.key === record.key);
}

/** null: the storage node cannot be asked. */
export async function storageOrNull(context: Context): Promise<StorageStatus | null> {
  try {
    return await within(context, 'asking the storage node', STORAGE_MS, () => context.parts.storage.status());
  } catch (error) {
    if (codeOf(error) === null) throw error;
    return null;
  }
}
