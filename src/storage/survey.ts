// What volumes, stamps and backups say by themselves, without a store: what a lost store is made of again.
import { UnderstudyError } from '../base/mod.ts';
import type { Store } from '../store/mod.ts';
import { backupPath, findBackups, keepHeader } from './backup-files.ts';
import type { Backup, VolumeContent } from './contract.ts';
import { isOf } from './introduction.ts';
import { storageRecordFlaw } from './record-flaw.ts';
import { type VolumeRecord, volumeKey } from './records.ts';
import {
  type BackupHeader,
  described,
  disagreement,
  diskKey,
  type Floor,
  type FoundBackup,
  type Stamp,
  type Stamps,
  sequenceOf,
  stampsAt,
  type VolumeState,
} from './stamps/mod.ts';
import { digestOfVolume, sizeOfVolume } from './volume-content.ts';

/** What somebody says who has looked: 'keep': the volume holds its host's own data; 'restore': its backup does. */
export type Say = 'keep' | 'restore';

export interface SurveyOptions {
  readonly folder: string;
  readonly volumes: readonly { readonly name: string; readonly path: string }[];
  /** The store as it was found; null: it cannot be read. Nothing is written to it. */
  readonly store: Store | null;
  /** By the name of a volume, where it does not say itself what it holds. */
  readonly say: ReadonlyMap<string, Say>;
  readonly signal: AbortSignal;
}

export interface SurveyedVolume {
  readonly name: string;
  /** What is to be recorded of it; null: that has to be said by somebody. */
  readonly record: VolumeRecord | null;
  /** One line: what was found. */
  readonly text: string;
  /** Backups that are no engagement's any more: somebody said that the volume holds its own data. */
  readonly kept: boolean;
  /** The store that was found says the same. */
  readonly agrees: boolean;
  /** Of backups that have none yet. */
  readonly headers: readonly BackupHeader[];
}

export interface Survey {
  readonly volumes: readonly SurveyedVolume[];
  readonly floor: Floor;
  /** The highest number of any engagement that is named by anything. */
  readonly sequence: number;
}

interface Found {
  readonly stamps: Stamps;
  readonly backups: readonly FoundBackup[];
  readonly stamped: boolean;
  readonly epoch: number;
}

/** Reads; a backup that has no header is read whole, for its digest. @throws STORAGE_FAILED, INTERRUPTED */
export async function surveyVolumes(options: SurveyOptions): Promise<Survey> {
  const { folder, volumes } = options;
  const stamps = stampsIn(folder, volumes);
  const floor = await stamps.floor();
  const { epoch } = floor;
  const found: Found = { stamps, backups: await findBackups(folder), stamped: epoch > 0, epoch };
  const surveyed: SurveyedVolume[] = [];
  for (const { name, path } of volumes) surveyed.push(await surveyVolume(options, found, name, path));
  const named = (await stamps.all()).map(({ stamp }) => sequenceOf(stamp?.engagement ?? null));
  const kept = found.backups.map(({ engagement }) => sequenceOf(engagement));
  return { volumes: surveyed, floor, sequence: Math.max(floor.sequence, ...named, ...kept) };
}

/** For whoever looks while no node runs. */
export function stampsIn(folder: string, volumes: SurveyOptions['volumes']): Stamps {
  const paths = new Map(volumes.map(({ name, path }) => [name, path]));
  return stampsAt(folder, (volume) => paths.get(volume) ?? '');
}

async function surveyVolume(
  { folder, store, say, signal }: SurveyOptions,
  found: Found,
  name: string,
  path: string,
): Promise<SurveyedVolume> {
  const disk = diskKey(path);
  const backups = found.backups.filter((backup) => isOf(backup, name, disk));
  const { stamp, flaw } = await stampOf(found.stamps, name);
  const before = await recordIn(store, name);
  const { stamped } = found;
  const why = flaw ?? disagreement({ volume: name, disk, record: before, stamp, backups, stamped });
  if (why === null && before !== null) {
    return { name, record: before, text: described(before), kept: false, agrees: true, headers: [] };
  }
  const state = stateFrom(name, disk, stamp, flaw, backups, say.get(name));
  if (typeof state === 'string') return { name, record: null, text: state, kept: false, agrees: false, headers: [] };
  const complete: Backup[] = [];
  const headers: BackupHeader[] = [];
  for (const { volume, engagement, header } of backups) {
    const backup = header?.backup ?? (await examined(backupPath(folder, volume, engagement), engagement, signal));
    complete.push(backup);
    const { epoch } = found;
    if (header === null) headers.push({ format: 1, volume, path, disk: found.stamps.diskOf(name), epoch, backup });
  }
  const sizeBytes = disk === null ? 0 : await sizeOfVolume(path);
  const record: VolumeRecord = { path, sizeBytes, ...state, backups: complete, step: null };
  const others = complete.length === 0 ? '' : `; backups: ${complete.map(({ engagement }) => engagement).join(', ')}`;
  const agrees = why === null && before === null && stamp === null;
  return { name, record, text: `${described(state)}${others}`, kept: say.get(name) === 'keep', agrees, headers };
}

async function stampOf(stamps: Stamps, volume: string): Promise<{ stamp: Stamp | null; flaw: string | null }> {
  try {
    return { stamp: await stamps.of(volume), flaw: null };
  } catch (error) {
    if (!(error instanceof UnderstudyError)) throw error;
    return { stamp: null, flaw: error.message };
  }
}

async function recordIn(store: Store | null, volume: string): Promise<VolumeRecord | null> {
  const key = volumeKey(volume);
  try {
    const found = await store?.get<VolumeRecord>(key);
    if (found === undefined || found === null) return null;
    return storageRecordFlaw(key, found.value) === null ? found.value : null;
  } catch (error) {
    if (!(error instanceof UnderstudyError)) throw error;
    return null;
  }
}

/** A text: why it is not known. */
function stateFrom(
  name: string,
  disk: string | null,
  stamp: Stamp | null,
  flaw: string | null,
  backups: readonly FoundBackup[],
  said: Say | undefined,
): VolumeState | string {
  const generation = 1 + Math.max(stamp?.to.generation ?? 0, stamp?.from.generation ?? 0);
  const last = backups.toSorted((a, b) => sequenceOf(a.engagement) - sequenceOf(b.engagement)).at(-1);
  if (said === 'keep') return { content: { kind: 'own' }, attachedTo: null, generation };
  if (said === 'restore' && last !== undefined) {
    const content: VolumeContent = { kind: 'unfinished', engagement: last.engagement, step: 'restore' };
    return { content, attachedTo: null, generation };
  }
  const how = last === undefined ? `--keep ${name}` : `--keep ${name} or --restore ${name}`;
  if (flaw !== null) return `${flaw}; say what it holds: ${how}`;
  if (stamp === null && last === undefined) return { content: { kind: 'own' }, attachedTo: null, generation: 0 };
  if (stamp === null) return `it has no stamp, and a backup by ${last?.engagement}; say what it holds: ${how}`;
  if (disk !== null && stamp.disk !== disk && stamp.to.content.kind !== 'own') {
    return `another disk is at its path: the stamp is of ${stamp.disk}, and this is ${disk}; say what it holds: ${how}`;
  }
  return stamp.to;
}

async function examined(path: string, engagement: string, signal: AbortSignal): Promise<Backup> {
  const bytes = await sizeOfVolume(path);
  const digest = await digestOfVolume({ path, fromDisk: true, signal });
  return { engagement, takenAt: new Date().toISOString(), bytes, digest };
}

/** Writes what a survey found into an empty store, and stamps what somebody said. */
export async function recordSurvey(
  { folder, volumes }: Pick<SurveyOptions, 'folder' | 'volumes'>,
  survey: Survey,
  store: Store,
  node: string,
): Promise<void> {
  const stamps = stampsIn(folder, volumes);
  await stamps.raise({ sequence: survey.sequence });
  for (const { name, record, headers } of survey.volumes) {
    if (record === null) continue;
    for (const header of headers) await keepHeader(folder, header);
    const { flaw, stamp } = await stampOf(stamps, name);
    const isSaid = flaw !== null || stamp === null || stamp.to.generation !== record.generation;
    if (isSaid) await stamps.keep(name, record, record);
    await store.put(volumeKey(name), record, 0);
  }
  // Whatever daemon is found is taken over as it is: hosts that are connected stay so.
  await store.put(`storage/daemon/${node}`, { starts: 1, shutdowns: 0, address: '' }, 0);
}
