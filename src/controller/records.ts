// Records as the controller reads them: each is looked at before it is used, whoever wrote it. One that cannot be used
// is told, holds back the hosts that it may own, and is otherwise left alone.
import { messageOf, shown, UnderstudyError } from '../base/mod.ts';
import type { Configuration } from '../config/mod.ts';
import type { StorageStatus } from '../storage/mod.ts';
import { isKey, type Json, type Store, type StoredRecord, update } from '../store/mod.ts';
import type { ControllerParts } from './parts.ts';
import { type Engagement, keys } from './record.ts';
import { flawOf } from './record-kinds.ts';

export interface UnusableRecord {
  readonly key: string;
  readonly revision: number;
  /** One line. */
  readonly why: string;
  /** What is stored, as it is. */
  readonly text: string;
}

export interface Sorted<T> {
  readonly usable: readonly StoredRecord<T>[];
  readonly unusable: readonly UnusableRecord[];
}

/** All records under a prefix, those that cannot be used apart. */
export async function listRecords<T = Json>(store: Store, prefix: string): Promise<Sorted<T>> {
  const usable: StoredRecord<T>[] = [];
  const unusable: UnusableRecord[] = [];
  for (const record of await store.list<T>(prefix)) {
    const why = flawOfRecord(record);
    if (why === null) usable.push(record);
    else unusable.push({ key: record.key, revision: record.revision, why, text: record.text });
  }
  return { usable, unusable };
}

/** null: it can be used, as far as it says itself. */
export function flawOfRecord<T>(record: StoredRecord<T>): string | null {
  try {
    return flawOf(record.key, record.value);
  } catch (error) {
    return messageOf(error);
  }
}

/** @throws RECORD_UNUSABLE */
export async function getRecord<T>(store: Store, key: string): Promise<StoredRecord<T> | null> {
  const record = await store.get<T>(key);
  if (record !== null) refuseUnusable(key, record.value);
  return record;
}

/**
 * Changes a record as `update` does, and never one that cannot be used. @throws RECORD_UNUSABLE, and what `change`
 * throws
 */
export function updateRecord<T>(
  store: Store,
  key: string,
  change: (value: T | null) => T | null,
): ReturnType<typeof update<T>> {
  return update<T>(store, key, (value) => {
    if (value !== null) refuseUnusable(key, value);
    return change(value);
  });
}

function refuseUnusable(key: string, value: unknown): void {
  const why = flawOf(key, value);
  if (why !== null) throw unusable(key, why);
}

function unusable(key: string, why: string): UnderstudyError {
  return new UnderstudyError('RECORD_UNUSABLE', `the record ${shown(key.slice(0, 200))} cannot be used: ${why}`);
}

/** Engagements of an installation, as they are at this moment. */
export interface Engagements {
  /** The oldest first. */
  readonly all: readonly Engagement[];
  /** Also those that refer to what the configuration does not have. */
  readonly unusable: readonly UnusableRecord[];
}

export async function listEngagements(store: Store, config: Configuration): Promise<Engagements> {
  const { usable, unusable: others } = await listRecords<Engagement>(store, keys.engagements);
  const lost = usable.flatMap(({ key, revision, value, text }) => {
    const why = reference(value, config);
    return why === null ? [] : [{ key, revision, why, text }];
  });
  const lostKeys = new Set(lost.map(({ key }) => key));
  const all = usable.filter(({ key }) => !lostKeys.has(key)).map(({ value }) => value);
  return { all: all.toSorted((a, b) => a.sequence - b.sequence), unusable: [...others, ...lost] };
}

/** Hosts that engagements have which are not over; of records that cannot be used none. */
export async function understudiesOf({ store, config }: Pick<ControllerParts, 'store' | 'config'>): Promise<string[]> {
  return (await listEngagements(store, config)).all.flatMap(({ ended, understudy }) => (ended ? [] : [understudy]));
}

/** @param name whatever somebody calls it: what cannot be a key is nobody's. @throws RECORD_UNUSABLE */
export async function getEngagement(store: Store, config: Configuration, name: string): Promise<Engagement | null> {
  if (!isKey(keys.engagement(name))) return null;
  const record = await getRecord<Engagement>(store, keys.engagement(name));
  if (record === null) return null;
  const why = reference(record.value, config);
  if (why !== null) throw unusable(record.key, why);
  return record.value;
}

/** What an engagement that is not over refers to and must not, or cannot. */
function reference({ ended, service, lead, understudy }: Engagement, config: Configuration): string | null {
  if (ended) return null;
  if (!config.services.has(service)) return `the configuration has no service "${shown(service)}"`;
  const missing = [lead, understudy].find((host) => !config.hosts.has(host));
  if (missing !== undefined) return `the configuration has no host "${shown(missing)}"`;
  const led = [...config.services.values()].find((one) => one.lead === understudy);
  return led === undefined ? null : `${understudy}, its understudy, leads ${led.name}`;
}

/**
 * Hosts that an unusable engagement may own, and by which record. Volumes say it surely; without them every host that
 * the text names; where it names none, the whole pool, except hosts that a usable engagement has.
 * @param storage null: the storage node could not be asked
 */
export function heldHosts(
  { all, unusable: records }: Engagements,
  config: Configuration,
  storage: StorageStatus | null,
): ReadonlyMap<string, UnusableRecord> {
  const held = new Map<string, UnusableRecord>();
  const engaged = new Set(all.filter(({ ended }) => !ended).map(({ understudy }) => understudy));
  const leads = new Set([...config.services.values()].map(({ lead }) => lead));
  for (const record of records) {
    const spares = [...config.hosts.values()].filter(({ name }) => !leads.has(name)).map(({ name }) => name);
    const named = spares.filter((host) => namesIt(record.text, host));
    const marked = markedFor(namesOf(record), config, storage).map(({ host }) => host);
    const surely = [...new Set([...named, ...marked])];
    const may = surely.length > 0 || refersElsewhere(record, config) ? surely : poolOf(record, config, spares);
    for (const host of may) {
      const other = (surely.length === 0 && engaged.has(host)) || hasVolume(host, all, config, storage);
      if (!other && !held.has(host)) held.set(host, record);
    }
  }
  return held;
}

/** The volume of the host says that a usable engagement has it. */
function hasVolume(
  host: string,
  all: readonly Engagement[],
  config: Configuration,
  storage: StorageStatus | null,
): boolean {
  return all.some(({ name, understudy, ended }) => {
    return !ended && understudy === host && markedFor([name], config, storage).some((one) => one.host === host);
  });
}

function namesIt(text: string, host: string): boolean {
  return text.includes(JSON.stringify(host));
}

/** A host whose volume is marked for an engagement. */
export interface Marked {
  readonly host: string;
  readonly engagement: string;
}

/** Hosts whose volumes are marked for an engagement of one of these names. */
export function markedFor(
  names: readonly string[],
  config: Configuration,
  storage: StorageStatus | null,
): readonly Marked[] {
  const found: Marked[] = [];
  for (const { name, content, backups } of storage?.volumes ?? []) {
    const owners = [...('engagement' in content ? [content.engagement] : []), ...backups.map((one) => one.engagement)];
    const engagement = owners.find((one) => names.includes(one));
    const host = [...config.hosts.values()].find(({ volume }) => volume === name)?.name;
    if (engagement !== undefined && host !== undefined) found.push({ host, engagement });
  }
  return found;
}

/** By its key, and by what it says where it can be read: one of both may be wrong. */
export function namesOf({ key, text }: UnusableRecord): readonly string[] {
  const { name } = readable(text);
  return [key.slice(keys.engagements.length), ...(typeof name === 'string' ? [name] : [])];
}

function readable(text: string): { readonly name?: unknown; readonly understudy?: unknown } {
  try {
    return Object(JSON.parse(text)) as object;
  } catch {
    return {};
  }
}

/** It can be read, and its understudy is none of these hosts. */
function refersElsewhere({ text }: UnusableRecord, config: Configuration): boolean {
  const { understudy } = readable(text);
  return typeof understudy === 'string' && understudy !== '' && !config.hosts.has(understudy);
}

/** Of the service that its name begins with; of all, where that is none. */
function poolOf({ key }: UnusableRecord, config: Configuration, spares: readonly string[]): readonly string[] {
  return config.services.get(serviceOfKey(key))?.pool ?? spares;
}

/** "engagement/wiki-3" begins with the name of its service. */
export function serviceOfKey(key: string): string {
  return key.slice(keys.engagements.length).replace(/-[^-]*$/, '');
}
