// Whether the store and what lies beside a volume say the same of it. Pure. What does not agree is not decided here:
// the volume is unknown, and nothing is done with it.
import { isDeepStrictEqual } from 'node:util';
import type { FoundBackup, Stamp, VolumeState } from './contract.ts';

/** What a record of a volume says, as far as it is compared. */
interface Recorded extends VolumeState {
  readonly backups: readonly { readonly engagement: string }[];
  readonly step: { readonly engagement: string } | null;
}

/** All that is known of one volume. */
export interface Evidence {
  readonly volume: string;
  /** Of the storage that is at its path now; null: nothing can be reached there. */
  readonly disk: string | null;
  readonly record: Recorded | null;
  readonly stamp: Stamp | null;
  readonly backups: readonly FoundBackup[];
  /** Stamps are kept in this folder: one that is missing was lost, and not yet to be made. */
  readonly stamped: boolean;
}

/** Why nothing may be done with the volume; null: store, stamp and backups agree. */
export function disagreement({ volume, disk, record, stamp, backups, stamped }: Evidence): string | null {
  if (record === null) {
    // One that was renamed while nothing was known of it but that it is its host's own.
    const renamed = stamp !== null && stamp.volume !== volume && isPlain(stamp.to);
    if (stamp !== null && !renamed)
      return `the store has no record of ${volume}, and its stamp says: ${described(stamp.to)}`;
    const [backup] = backups;
    return backup === undefined ? null : `the store has no record of ${volume}, and ${backupText(backup)} is there`;
  }
  const orphan = backups.find(({ engagement }) => !isKnown(record, engagement));
  if (orphan !== undefined) return `the store does not know ${backupText(orphan)}`;
  if (stamp === null) {
    if (!stamped || record.content.kind === 'own') return null;
    return `${volume} has no stamp, and the store says: ${described(record)}`;
  }
  if (disk !== null && stamp.disk !== disk && stamp.to.content.kind !== 'own') {
    return `${volume} was another disk (${stamp.disk}), which holds ${described(stamp.to)}; now there is ${disk}`;
  }
  if (sameState(record, stamp.from) || sameState(record, stamp.to)) return null;
  return `the store says of ${volume}: ${described(record)}; its stamp of ${stamp.writtenAt} says: ${described(stamp.to)}`;
}

/** The record has it, or was about to have it. */
function isKnown({ backups, step }: Recorded, engagement: string): boolean {
  return step?.engagement === engagement || backups.some((backup) => backup.engagement === engagement);
}

function isPlain({ content, attachedTo }: VolumeState): boolean {
  return content.kind === 'own' && attachedTo === null;
}

export function sameState(one: VolumeState, other: VolumeState): boolean {
  return isDeepStrictEqual(stateOf(one), stateOf(other));
}

export function stateOf({ content, attachedTo, generation }: VolumeState): VolumeState {
  return { content, attachedTo, generation };
}

function backupText({ engagement, volume }: FoundBackup): string {
  return `the backup of ${volume} by ${engagement}`;
}

export function described({ content, attachedTo, generation }: VolumeState): string {
  const what =
    content.kind === 'own'
      ? 'its own data'
      : content.kind === 'replica'
        ? `a replica of ${content.of} (${content.engagement})`
        : `what ${content.step} of ${content.engagement} has left`;
  return `${what}, ${attachedTo === null ? 'attached to no host' : `attached to ${attachedTo}`}, generation ${generation}`;
}
