// Members of a zip archive that can only be read in order, by their local headers (PKWARE, APPNOTE 6.3.10, 4.3.7 to
// 4.3.9 and 4.5.3).
import { crc32 } from 'node:zlib';
import { type ByteReader, exactly } from './byte-reader.ts';
import { damaged, unreadable } from './damage.ts';
import { type Inflated, inflate } from './inflate.ts';
import { hasAt, viewOf } from './magic.ts';
import { MEMBERS_MAX, type Member, type Members } from './members.ts';
import { ZIP_TAIL_BYTES, zipEnd, zipIgnored } from './zip-end.ts';

const LOCAL = 'PK\x03\x04';
/** What may follow the last member. */
const DIRECTORIES = ['PK\x01\x02', 'PK\x05\x06', 'PK\x06\x06'];
const HEADER_BYTES = 30;
const ENCRYPTED = 1;
const DESCRIPTOR = 8;
const STORED = 0;
const DEFLATED = 8;
const UNKNOWN_32 = 0xffff_ffff;
const ZIP64 = 1;

const METHODS: Readonly<Record<number, string>> = {
  9: 'Deflate64',
  12: 'bzip2',
  14: 'LZMA',
  93: 'zstd',
  95: 'xz',
  98: 'PPMd',
  99: 'AES encryption',
};

/** Why a member cannot be read; null when it can. */
export function zipObstacle(flags: number, method: number): string | null {
  if ((flags & ENCRYPTED) !== 0 || method === 99) return 'is encrypted';
  if (method === STORED || method === DEFLATED) return null;
  return `is compressed by a method that is not read (${METHODS[method] ?? `number ${method}`})`;
}

export interface ZipStreamOptions {
  readonly uri: string;
  readonly onWarning: (warning: string) => void;
}

interface LocalHeader {
  readonly name: string;
  readonly flags: number;
  readonly method: number;
  readonly checksum: number;
  readonly compressedBytes: number;
  readonly sizeBytes: number;
  readonly wide: boolean;
}

/** @throws SOURCE_CORRUPT; FORMAT_UNKNOWN for members whose end nothing tells */
export async function* zipStreamMembers(reader: ByteReader, options: ZipStreamOptions): Members {
  const { uri } = options;
  const first = await reader.take(4);
  // Archives that could have been split begin with this mark.
  if (!hasAt(first, 'PK00')) reader.giveBack(first);
  for (let count = 0; count < MEMBERS_MAX; count += 1) {
    const signature = await reader.take(4);
    if (DIRECTORIES.some((magic) => hasAt(signature, magic))) return endOfArchive(reader, options, signature);
    if (!hasAt(signature, LOCAL)) {
      throw damaged(
        uri,
        `at byte ${reader.offsetBytes - signature.byteLength} its zip archive has no header of a member`,
      );
    }
    const header = await readLocalHeader(reader, uri);
    const member = memberOf(reader, header, uri);
    yield member;
    await member.finish();
  }
  throw unreadable(uri, `is a zip archive of more than ${MEMBERS_MAX} members; unpack it first`);
}

/**
 * The directory repeats what the headers said; that the record of its end is there, and whole, tells that nothing was
 * cut off.
 */
async function endOfArchive(
  reader: ByteReader,
  { uri, onWarning }: ZipStreamOptions,
  signature: Uint8Array,
): Promise<void> {
  let tail = Buffer.from(signature);
  for (;;) {
    const some = await reader.some(1024 * 1024);
    if (some === null) break;
    tail = Buffer.concat([tail, some]).subarray(-ZIP_TAIL_BYTES);
  }
  const end = zipEnd(tail);
  if (end === null) throw damaged(uri, 'it ends within the directory of its zip archive');
  if (end < tail.byteLength) onWarning(zipIgnored(tail.byteLength - end));
}

async function readLocalHeader(reader: ByteReader, uri: string): Promise<LocalHeader> {
  const cutOff = (): Error => damaged(uri, 'it ends within a header of its zip archive');
  const rest = HEADER_BYTES - 4;
  const bytes = await reader.take(rest);
  if (bytes.byteLength < rest) throw cutOff();
  const view = viewOf(bytes);
  const nameBytes = view.getUint16(22, true);
  const extraBytes = view.getUint16(24, true);
  const tail = await reader.take(nameBytes + extraBytes);
  if (tail.byteLength < nameBytes + extraBytes) throw cutOff();
  const narrow = { sizeBytes: view.getUint32(18, true), compressedBytes: view.getUint32(14, true) };
  const wide = zip64Sizes(tail.subarray(nameBytes), narrow);
  if (wide === 'wrong') throw damaged(uri, 'a header of its zip archive says a size that none can have');
  return {
    name: Buffer.from(tail.subarray(0, nameBytes)).toString('utf8'),
    flags: view.getUint16(2, true),
    method: view.getUint16(4, true),
    checksum: view.getUint32(10, true),
    ...(wide ?? narrow),
    wide: wide !== null,
  };
}

interface Sizes {
  readonly sizeBytes: number;
  readonly compressedBytes: number;
}

/** APPNOTE 4.5.3: in local headers both sizes are there; they count where the narrow ones are all ones. */
function zip64Sizes(extra: Uint8Array, narrow: Sizes): Sizes | 'wrong' | null {
  const view = viewOf(extra);
  for (let at = 0; at + 4 <= extra.byteLength; ) {
    const length = view.getUint16(at + 2, true);
    if (view.getUint16(at, true) === ZIP64 && length >= 16 && at + 20 <= extra.byteLength) {
      const sizeBytes = narrow.sizeBytes === UNKNOWN_32 ? Number(view.getBigUint64(at + 4, true)) : narrow.sizeBytes;
      const compressedBytes =
        narrow.compressedBytes === UNKNOWN_32 ? Number(view.getBigUint64(at + 12, true)) : narrow.compressedBytes;
      const sound = Number.isSafeInteger(sizeBytes) && Number.isSafeInteger(compressedBytes);
      return sound ? { sizeBytes, compressedBytes } : 'wrong';
    }
    at += 4 + length;
  }
  return null;
}

function memberOf(reader: ByteReader, header: LocalHeader, uri: string): Member & { finish(): Promise<void> } {
  const { name } = header;
  const described = (header.flags & DESCRIPTOR) !== 0;
  const obstacle = zipObstacle(header.flags, header.method);
  if (described && (obstacle !== null || header.method === STORED)) {
    const why = obstacle ?? 'is stored, and only what comes behind it says where it ends';
    throw unreadable(uri, `holds ${name}, which ${why}; save the archive in a file, and unpack it there if need be`);
  }
  let content: AsyncGenerator<Uint8Array> | null = null;
  return {
    name,
    sizeBytes: described ? null : header.sizeBytes,
    kind: name.endsWith('/') ? 'other' : 'file',
    obstacle,
    window: null,
    open() {
      content = contentOf(reader, header, uri);
      return content;
    },
    async finish() {
      if (obstacle !== null) {
        const skipped = await reader.skip(header.compressedBytes);
        if (skipped < header.compressedBytes) throw damaged(uri, `it ends within its member ${name}`);
        return;
      }
      content ??= contentOf(reader, header, uri);
      while ((await content.next()).done !== true);
    },
  };
}

async function* contentOf(reader: ByteReader, header: LocalHeader, uri: string): AsyncGenerator<Uint8Array> {
  const { name } = header;
  const described = (header.flags & DESCRIPTOR) !== 0;
  const cutOff = (): Error => damaged(uri, `it ends within its member ${name}`);
  const used: Inflated = { compressedBytes: header.compressedBytes };
  const limit = described ? null : header.compressedBytes;
  const pieces =
    header.method === STORED
      ? exactly(reader, header.compressedBytes, cutOff)
      : inflate(reader, limit, used, (what) => damaged(uri, `its member ${name}: ${what}`));
  let checksum = 0;
  let sizeBytes = 0;
  for await (const piece of pieces) {
    checksum = crc32(piece, checksum);
    sizeBytes += piece.byteLength;
    yield piece;
  }
  const found = { checksum, sizeBytes, compressedBytes: used.compressedBytes };
  const fits = described ? await descriptorFits(reader, header.wide, found) : sameAs(header, found);
  if (!fits) throw damaged(uri, `its member ${name} is not what its check sum and sizes say`);
}

function sameAs(wanted: Sizes & { readonly checksum: number }, found: Sizes & { readonly checksum: number }): boolean {
  return (
    wanted.checksum === found.checksum &&
    wanted.sizeBytes === found.sizeBytes &&
    wanted.compressedBytes === found.compressedBytes
  );
}

/** APPNOTE 4.3.9: with or without a signature, with sizes of four or eight bytes; what fits is what was meant. */
async function descriptorFits(
  reader: ByteReader,
  wide: boolean,
  found: Sizes & { readonly checksum: number },
): Promise<boolean> {
  const bytes = await reader.take(24);
  for (const width of wide ? [8, 4] : [4, 8]) {
    for (const at of [4, 0]) {
      const length = at + 4 + 2 * width;
      if (bytes.byteLength < length || (at === 4 && !hasAt(bytes, 'PK\x07\x08'))) continue;
      const view = viewOf(bytes);
      const number = (place: number): number =>
        width === 8 ? Number(view.getBigUint64(place, true)) : view.getUint32(place, true);
      const compressedBytes = number(at + 4);
      const read = { checksum: view.getUint32(at, true), compressedBytes, sizeBytes: number(at + 4 + width) };
      // Sizes beyond 4 GiB are cut to 32 bits where the narrow form was written all the same.
      const cut = width === 4 ? 2 ** 32 : Number.POSITIVE_INFINITY;
      const wanted = { ...found, compressedBytes: found.compressedBytes % cut, sizeBytes: found.sizeBytes % cut };
      if (!sameAs(read, wanted)) continue;
      reader.giveBack(bytes.subarray(length));
      return true;
    }
  }
  return false;
}
