// What becomes of partition tables on a disk that is larger than its image. A GPT has a backup in the last sectors of its
// disk; after a plain copy it lies somewhere in the middle, firmware calls the table damaged, and the space behind it cannot
// be used. Pure: reads through a function, and says what is to be written in which order.
import { type GptHeader, hasSignature, headerAt, isIntact, lastLbaOfPartitions, withNumbers } from './header.ts';
import { stretchedMbr } from './protective-mbr.ts';

/** `move`: the backup goes to the end of the disk, and what the disk had there goes. `keep`: only the image's bytes are written. */
export type GptPolicy = 'keep' | 'move';

export interface GptPlace {
  readonly policy: GptPolicy;
  readonly imageBytes: number;
  readonly deviceBytes: number;
  /** Logical sector of the device: what it counts LBAs in. */
  readonly sectorBytes: number;
  /** Bytes of the image as they are on the target, or of the target behind the image. */
  read(offsetBytes: number, lengthBytes: number): Uint8Array;
}

export interface Piece {
  readonly offsetBytes: number;
  readonly bytes: Uint8Array;
}

export interface GptPlan {
  /** `none`: there is no GPT that any of this is about. */
  readonly action: 'none' | 'kept' | 'moved' | 'cleared';
  /** One clause for people: why it is kept although it does not fit, what was cleared; null when nothing has to be known. */
  readonly note: string | null;
  /** The new backup, at the end of the device. */
  readonly backup: readonly Piece[];
  /** Old backups: zeroed after the new one is durable. */
  readonly clear: readonly { readonly offsetBytes: number; readonly lengthBytes: number }[];
  /** MBR and primary header, in the first sectors: written last. */
  readonly primary: readonly Piece[];
}

const nothing: GptPlan = { action: 'none', note: null, backup: [], clear: [], primary: [] };
const SECTOR_SIZES = [512, 4096];

export function planGpt(place: GptPlace): GptPlan {
  const table = planTable(place);
  if (place.policy === 'keep' || table.action === 'moved') return table;
  const clear = leftover(place);
  if (clear.length === 0) return table;
  const note = 'the backup of another GPT at the end of the disk was cleared';
  const both = table.note === null ? note : `${table.note}; ${note}`;
  return { ...table, action: table.action === 'none' ? 'cleared' : table.action, note: both, clear };
}

function planTable(place: GptPlace): GptPlan {
  const { imageBytes, deviceBytes, sectorBytes } = place;
  const found = SECTOR_SIZES.find((size) => hasTable(place, size));
  if (found === undefined) return nothing;
  if (found !== sectorBytes) {
    return keep(
      `the image's GPT counts in sectors of ${found} bytes, the disk in sectors of ${sectorBytes}:` +
        ' systems will not find its partitions there',
    );
  }
  if (imageBytes === deviceBytes) return nothing;
  if (place.policy === 'keep') return keep(null);
  const table = readTable(place);
  return typeof table === 'string' ? keep(`the backup GPT was not moved: ${table}`) : move(place, table);
}

function keep(note: string | null): GptPlan {
  return { ...nothing, action: 'kept', note };
}

function hasTable({ imageBytes, read }: GptPlace, sectorBytes: number): boolean {
  if (imageBytes < 2 * sectorBytes) return false;
  if (hasSignature(read(sectorBytes, sectorBytes))) return true;
  return imageBytes % sectorBytes === 0 && hasSignature(read(imageBytes - sectorBytes, sectorBytes));
}

interface Table {
  readonly primary: GptHeader;
  readonly backup: GptHeader;
  readonly entries: Uint8Array;
}

/** Both headers with their entries, or why they are not touched: only what is whole and ordinary is changed. */
function readTable(place: GptPlace): Table | string {
  const { imageBytes, deviceBytes, sectorBytes, read } = place;
  if (imageBytes % sectorBytes !== 0 || deviceBytes % sectorBytes !== 0) return 'the image ends within a sector';
  const last = imageBytes / sectorBytes - 1;
  const primary = headerAt(read(sectorBytes, sectorBytes), 1);
  if (primary === null) return 'the primary GPT of the image is damaged';
  if (primary.alternateLba !== last) return 'it is not in the last sector of the image';
  const backup = headerAt(read(last * sectorBytes, sectorBytes), last);
  if (backup === null) return 'the backup GPT of the image is damaged';
  const same = backup.diskGuid === primary.diskGuid && backup.entriesCrc === primary.entriesCrc;
  if (!same || backup.alternateLba !== 1 || backup.entryBytes !== primary.entryBytes)
    return 'the two GPTs of the image differ';
  const entries = entriesOf(place, primary);
  if (entries === null) return 'the entries of the primary GPT are damaged';
  if (entriesOf(place, backup) === null) return 'the entries of the backup GPT are damaged';
  if (backup.entriesLba <= primary.lastUsableLba || backup.entriesLba + sectorsOf(backup, sectorBytes) > last)
    return 'the entries of the backup GPT are not right before it';
  if (lastLbaOfPartitions(primary, entries) > primary.lastUsableLba) return 'a partition reaches into it';
  return { primary, backup, entries };
}

function entriesOf({ imageBytes, sectorBytes, read }: GptPlace, header: GptHeader): Uint8Array | null {
  const at = header.entriesLba * sectorBytes;
  if (header.entriesLba < 2 || at + header.entriesBytes > imageBytes) return null;
  const entries = read(at, header.entriesBytes);
  return isIntact(header, entries) ? entries : null;
}

function sectorsOf(header: GptHeader, sectorBytes: number): number {
  return Math.ceil(header.entriesBytes / sectorBytes);
}

function move(place: GptPlace, { primary, backup, entries }: Table): GptPlan {
  const { imageBytes, deviceBytes, sectorBytes, read } = place;
  const last = deviceBytes / sectorBytes - 1;
  const count = sectorsOf(backup, sectorBytes);
  const entriesLba = last - count;
  const numbers = { lastUsableLba: entriesLba - 1 };
  const newBackup = withNumbers(backup, { ...numbers, ownLba: last, entriesLba });
  const padded = new Uint8Array(count * sectorBytes);
  padded.set(entries);
  const mbr = stretchedMbr(read(0, 512), imageBytes / sectorBytes, deviceBytes / sectorBytes);
  const newPrimary = withNumbers(primary, { ...numbers, alternateLba: last });
  const newAt = entriesLba * sectorBytes;
  // On a disk that is larger by a few sectors only, the new backup covers a part of the old one.
  const clear = [
    { offsetBytes: backup.entriesLba * sectorBytes, lengthBytes: count * sectorBytes },
    { offsetBytes: imageBytes - sectorBytes, lengthBytes: sectorBytes },
  ]
    .map(({ offsetBytes, lengthBytes }) => ({
      offsetBytes,
      lengthBytes: Math.min(lengthBytes, newAt - offsetBytes),
    }))
    .filter(({ lengthBytes }) => lengthBytes > 0);
  return {
    action: 'moved',
    note: null,
    backup: [
      { offsetBytes: newAt, bytes: padded },
      { offsetBytes: last * sectorBytes, bytes: newBackup },
    ],
    clear,
    primary: [
      ...(mbr === null ? [] : [{ offsetBytes: 0, bytes: mbr }]),
      { offsetBytes: sectorBytes, bytes: newPrimary },
    ],
  };
}

/**
 * The backup of a table that the disk had before, behind the image: firmware that finds the new primary damaged, or a
 * tool that repairs, would bring the old partitions back over the new content.
 */
function leftover({ imageBytes, deviceBytes, sectorBytes, read }: GptPlace): GptPlan['clear'] {
  const at = deviceBytes - sectorBytes;
  if (deviceBytes % sectorBytes !== 0 || at < imageBytes) return [];
  const header = headerAt(read(at, sectorBytes), at / sectorBytes);
  if (header === null) return [];
  const range = { offsetBytes: at, lengthBytes: sectorBytes };
  const entriesAt = header.entriesLba * sectorBytes;
  const whole = sectorsOf(header, sectorBytes) * sectorBytes;
  if (entriesAt < imageBytes || entriesAt + whole > at || !isIntact(header, read(entriesAt, header.entriesBytes)))
    return [range];
  return [{ offsetBytes: entriesAt, lengthBytes: whole }, range];
}
