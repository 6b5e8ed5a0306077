// A volume at the start of the node: its record is compared with its stamp and its backups before anything is done by
// it.
import { UnderstudyError } from '../base/mod.ts';
import type { NodeContext } from './context.ts';
import type { VolumeRecord } from './records.ts';
import { disagreement, type FoundBackup } from './stamps/mod.ts';

/** The store does not say what the stamp says. */
export class StateLost extends UnderstudyError {
  /** Who has the volume, as its stamp says. */
  readonly host: string | null;

  constructor(why: string, host: string | null) {
    super('STATE_LOST', `${why}; nothing is done with it before "understudy recover" has been run`);
    this.host = host;
  }
}

export interface FirstLook {
  /** All that lie in the storage folder. */
  readonly backups: readonly FoundBackup[];
  /** Stamps are kept already: a volume that has none has lost it. */
  readonly stamped: boolean;
  /** null: the volume cannot be reached. */
  readonly sizeBytes: number | null;
}

/**
 * Makes the record of a volume that is new here, and what earlier versions did not keep: stamps and headers.
 * @throws RECORD_UNUSABLE, also when another disk has taken the name of one that something is known of; StateLost
 */
export async function introduce({ backend, records }: NodeContext, volume: string, look: FirstLook): Promise<void> {
  const { stamped, sizeBytes } = look;
  const [path, disk] = [backend.pathOf(volume), backend.diskOf(volume)];
  const stamp = await records.stamps.of(volume);
  const backups = look.backups.filter((backup) => isOf(backup, volume, disk));
  const why = disagreement({ volume, disk, record: await records.find(volume), stamp, backups, stamped });
  if (why !== null) {
    records.isLost = true;
    await records.stamps.unsettle(why);
    throw new StateLost(why, stamp?.to.attachedTo ?? null);
  }
  const record = await records.settle(volume, (known) => {
    if (known === null) return newRecord(path, sizeBytes ?? 0);
    const bound = known.content.kind !== 'own' || known.attachedTo !== null || known.backups.length > 0;
    if (known.path !== path && bound) {
      const what = `it was ${known.path} and cannot become ${path} before it is detached and restored`;
      throw new UnderstudyError('RECORD_UNUSABLE', `the record of the volume ${volume} cannot be used: ${what}`);
    }
    return { ...known, path, sizeBytes: sizeBytes ?? known.sizeBytes };
  });
  if (stamp?.disk !== records.stamps.diskOf(volume)) await records.stamps.keep(volume, record, record);
  for (const backup of record.backups) {
    const file = backups.find(({ engagement }) => engagement === backup.engagement);
    if (file?.header === null) await backend.keepHeader(await records.headerOf(volume, backup));
  }
}

/** By the storage that its header names; where that is not there, by its name. */
export function isOf({ header, volume: name }: FoundBackup, volume: string, disk: string | null): boolean {
  return header === null || disk === null ? name === volume : header.disk === disk || name === volume;
}

function newRecord(path: string, sizeBytes: number): VolumeRecord {
  return { path, sizeBytes, generation: 0, content: { kind: 'own' }, attachedTo: null, backups: [], step: null };
}
