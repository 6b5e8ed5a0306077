// A lost store, made again of what volumes and backups say: each engagement that they name goes its way down, so every
// spare gets its own data back. Nothing goes on up.
import { codeOf } from '../base/mod.ts';
import type { Configuration } from '../config/mod.ts';
import type { Survey, SurveyedVolume } from '../storage/mod.ts';
import type { Store, StoredRecord } from '../store/mod.ts';
import { serviceOf, wayDown } from './dismissal.ts';
import { type Engagement, keys } from './record.ts';
import { flawOfRecord, type Marked } from './records.ts';

export interface Recovery {
  /** Ways down. */
  readonly engagements: readonly Engagement[];
  /** What will be done, one line each, for people. */
  readonly lines: readonly string[];
  /** Volumes of which somebody has to say what they hold; they stay as they are. */
  readonly unclear: readonly string[];
  /** The store that was found is the right one: it stays. */
  readonly storeStays: boolean;
}

/** Pure. @param numbers of the store that was found; null: it cannot be read */
export function planRecovery(
  config: Configuration,
  survey: Survey,
  numbers: { readonly sequence: number } | null,
  nowMs: number,
): Recovery {
  const { volumes, floor, sequence } = survey;
  const storeStays = numbers !== null && numbers.sequence >= sequence && volumes.every(({ agrees }) => agrees);
  const unclear = volumes.flatMap(({ name, record, text }) => (record === null ? [`${name}: ${text}`] : []));
  if (storeStays)
    return { engagements: [], lines: ['the store agrees with every volume: it stays'], unclear, storeStays };
  const engagements: Engagement[] = [];
  const lines = volumes.map(({ name, text }) => `${name}: ${text}`);
  for (const volume of volumes) {
    for (const marked of markedBy(config, volume)) {
      const refused = lead(config, marked);
      if (refused !== null) {
        lines.push(refused);
        continue;
      }
      const message = 'the store was lost while it was under way';
      const failure = { code: 'STATE_LOST' as const, message };
      const cause = { epoch: floor.epoch, reason: 'its store was lost', failure, nowMs };
      engagements.push(wayDown(marked, serviceOf(marked, config), cause));
      lines.push(`${marked.engagement}: ${marked.host} is taken off stage, and gets its own data back`);
    }
  }
  if (engagements.length === 0) lines.push('no engagement is named by any volume or backup');
  return { engagements, lines, unclear, storeStays };
}

/** Engagements to which a volume, or a backup of it, belongs. */
function markedBy(config: Configuration, { name, record, kept }: SurveyedVolume): readonly Marked[] {
  const host = [...config.hosts.values()].find(({ volume }) => volume === name)?.name;
  if (record === null || kept || host === undefined) return [];
  const { content, backups } = record;
  const names = content.kind === 'own' ? backups.map(({ engagement }) => engagement) : [content.engagement];
  return names.map((engagement) => ({ host, engagement }));
}

function lead(config: Configuration, { host, engagement }: Marked): string | null {
  const services = [...config.services.values()];
  const led = services.find((service) => service.lead === host);
  if (led !== undefined) return `${engagement}: ${host} leads ${led.name}; correct the configuration first`;
  const known = services.some(({ name, pool }) => pool.includes(host) || engagement.startsWith(`${name}-`));
  return known ? null : `${engagement}: ${host} is in no pool; put it into one, and run recover again`;
}

/** History is of use, and never acted upon. */
const HISTORY = [keys.events, 'decision/', 'learned/', keys.engagements] as const;

/** What can be read of the history of a store that was found. */
export async function historyOf(store: Store): Promise<readonly StoredRecord[]> {
  const found: StoredRecord[] = [];
  for (const prefix of HISTORY) {
    try {
      for (const record of await store.list(prefix)) if (isHistory(record)) found.push(record);
    } catch (error) {
      if (codeOf(error) === null) throw error;
    }
  }
  return found;
}

function isHistory(record: StoredRecord): boolean {
  if (flawOfRecord(record) !== null) return false;
  return !record.key.startsWith(keys.engagements) || (record.value as unknown as Engagement).ended;
}

/** Into a store that has the records of the volumes already. */
export async function recordRecovery(
  store: Store,
  { engagements, lines }: Recovery,
  { floor, sequence }: Survey,
  history: readonly StoredRecord[],
  nowMs: number,
): Promise<void> {
  const names = new Set(engagements.map(({ name }) => keys.engagement(name)));
  for (const { key, value } of history) if (!names.has(key)) await store.put(key, value, 0);
  for (const engagement of engagements) await store.put(keys.engagement(engagement.name), engagement, 0);
  if (sequence > 0) await store.put(keys.sequence, sequence, 0);
  if (floor.epoch > 0) await store.put(keys.leader, floor.epoch, 0);
  const event = {
    at: new Date(nowMs).toISOString(),
    kind: 'controller',
    subject: 'controller',
    text: `the store was made again by understudy recover: ${lines.join('; ')}`,
    data: { engagements: engagements.map(({ name }) => name) },
  };
  await store.put(keys.event(nowMs, 0), event, 0);
}
