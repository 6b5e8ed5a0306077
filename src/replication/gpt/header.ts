// The header of a GUID partition table and its entries: UEFI specification 2.10, 5.3.2 and 5.3.3. Numbers are little-endian.
// What is read here was written by others: every number is held against its bounds before it is used.
import { crc32 } from 'node:zlib';

export const SIGNATURE = 'EFI PART';
/** Bytes of the header that version 1.0 defines; the rest of its sector is reserved. */
const HEADER_BYTES = 92;
const ENTRY_BYTES_MIN = 128;
/** Far above what any tool makes (16 KiB); a larger array is not one. */
const ENTRIES_BYTES_MAX = 1024 * 1024;

export const Field = {
  headerBytes: 12,
  headerCrc: 16,
  ownLba: 24,
  alternateLba: 32,
  firstUsableLba: 40,
  lastUsableLba: 48,
  diskGuid: 56,
  entriesLba: 72,
  entryCount: 80,
  entryBytes: 84,
  entriesCrc: 88,
} as const;

export interface GptHeader {
  /** The whole sector that it lies in. */
  readonly sector: Uint8Array;
  readonly ownLba: number;
  readonly alternateLba: number;
  readonly lastUsableLba: number;
  readonly entriesLba: number;
  readonly entryBytes: number;
  /** Bytes of the array of entries. */
  readonly entriesBytes: number;
  readonly entriesCrc: number;
  readonly diskGuid: string;
}

/** A header with a right CRC, in the sector `ownLba`; null when the sector holds none. */
export function headerAt(sector: Uint8Array, ownLba: number): GptHeader | null {
  if (!hasSignature(sector)) return null;
  const view = viewOf(sector);
  const headerBytes = view.getUint32(Field.headerBytes, true);
  if (headerBytes < HEADER_BYTES || headerBytes > sector.byteLength) return null;
  if (headerCrc(sector, headerBytes) !== view.getUint32(Field.headerCrc, true)) return null;
  const entryBytes = view.getUint32(Field.entryBytes, true);
  const entriesBytes = entryBytes * view.getUint32(Field.entryCount, true);
  if (entryBytes < ENTRY_BYTES_MIN || (entryBytes & (entryBytes - 1)) !== 0) return null;
  if (entriesBytes === 0 || entriesBytes > ENTRIES_BYTES_MAX || lba(view, Field.ownLba) !== ownLba) return null;
  return {
    sector: sector.slice(),
    ownLba,
    alternateLba: lba(view, Field.alternateLba),
    lastUsableLba: lba(view, Field.lastUsableLba),
    entriesLba: lba(view, Field.entriesLba),
    entryBytes,
    entriesBytes,
    entriesCrc: view.getUint32(Field.entriesCrc, true),
    diskGuid: Buffer.from(sector.subarray(Field.diskGuid, Field.diskGuid + 16)).toString('hex'),
  };
}

export function hasSignature(sector: Uint8Array): boolean {
  return Buffer.from(sector.subarray(0, SIGNATURE.length)).toString('latin1') === SIGNATURE;
}

/** Whether the entries are those that the header speaks of. */
export function isIntact(header: GptHeader, entries: Uint8Array): boolean {
  return entries.byteLength === header.entriesBytes && crc32(entries) === header.entriesCrc;
}

/** The last LBA that a partition takes; 0 without partitions. An entry is free when its type is all zeros. */
export function lastLbaOfPartitions(header: GptHeader, entries: Uint8Array): number {
  const view = viewOf(entries);
  let last = 0;
  for (let at = 0; at < entries.byteLength; at += header.entryBytes) {
    if (entries.subarray(at, at + 16).every((byte) => byte === 0)) continue;
    last = Math.max(last, lba(view, at + 40));
  }
  return last;
}

/** The header's sector with other numbers in it, and the CRC that they make. */
export function withNumbers(
  header: GptHeader,
  numbers: Partial<Record<'ownLba' | 'alternateLba' | 'lastUsableLba' | 'entriesLba', number>>,
): Uint8Array {
  const sector = header.sector.slice();
  const view = viewOf(sector);
  for (const [field, value] of Object.entries(numbers)) {
    view.setBigUint64(Field[field as keyof typeof numbers], BigInt(value), true);
  }
  view.setUint32(Field.headerCrc, headerCrc(sector, view.getUint32(Field.headerBytes, true)), true);
  return sector;
}

/** The CRC counts its own field as zeros. */
function headerCrc(sector: Uint8Array, headerBytes: number): number {
  const header = sector.slice(0, headerBytes);
  header.fill(0, Field.headerCrc, Field.headerCrc + 4);
  return crc32(header);
}

/** Beyond 2^53 there is no disk: such a number fits nothing. */
function lba(view: DataView, at: number): number {
  const value = view.getBigUint64(at, true);
  return value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : Number.MAX_SAFE_INTEGER;
}

export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
