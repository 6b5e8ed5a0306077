// Members of a zip archive that can be read at any offset, by its directory (yauzl), which also knows members that the
// local
// headers do not describe.
import { Readable } from 'node:stream';
import { crc32 } from 'node:zlib';
import { type Entry, fromRandomAccessReaderPromise, RandomAccessReader, type ZipFile } from 'yauzl';
import { codeOf, messageOf } from '../../base/mod.ts';
import { ByteReader, exactly } from './byte-reader.ts';
import type { ByteSource } from './byte-source.ts';
import { damaged, unreadable } from './damage.ts';
import { inflate } from './inflate.ts';
import { MEMBERS_MAX, type Member, type Members } from './members.ts';
import { readRange } from './seeking-reader.ts';
import { ZIP_TAIL_BYTES, zipEnd, zipIgnored } from './zip-end.ts';
import { zipObstacle } from './zip-stream.ts';

const DEFLATED = 8;

class StoredBytes extends RandomAccessReader {
  readonly #bytes: ByteSource;

  constructor(bytes: ByteSource) {
    super();
    this.#bytes = bytes;
  }

  override _readStreamForRange(start: number, end: number): Readable {
    return Readable.from(readRange(this.#bytes, start, end - start), { objectMode: false });
  }
}

/** @throws SOURCE_CORRUPT; FORMAT_UNKNOWN (too many members) */
export async function* zipDirectoryMembers(bytes: ByteSource, onWarning: (warning: string) => void): Members {
  const { uri } = bytes;
  const ignoredBytes = await bytesBehind(bytes);
  const archive = await told(uri, () =>
    fromRandomAccessReaderPromise(new StoredBytes(bytes), (bytes.sizeBytes ?? 0) - ignoredBytes, {
      lazyEntries: true,
      autoClose: false,
      decodeStrings: false,
      // The content itself is held against its sizes.
      validateEntrySizes: false,
    }),
  );
  if (archive.entryCount > MEMBERS_MAX) {
    throw unreadable(uri, `is a zip archive of more than ${MEMBERS_MAX} members; unpack it first`);
  }
  if (ignoredBytes > 0) onWarning(zipIgnored(ignoredBytes));
  const entries = archive.eachEntry();
  for (;;) {
    const next = await told(uri, () => entries.next());
    if (next.done === true) return;
    yield await memberOf(bytes, archive, next.value as Entry);
  }
}

/** Behind the end of the archive; the library wants none, and says what is wrong where no end is found. */
async function bytesBehind(bytes: ByteSource): Promise<number> {
  const sizeBytes = bytes.sizeBytes ?? 0;
  const tail = Buffer.from(await bytes.readAt(Math.max(0, sizeBytes - ZIP_TAIL_BYTES), ZIP_TAIL_BYTES));
  const end = zipEnd(tail);
  return end === null ? 0 : tail.byteLength - end;
}

/** What the library complains about is the archive; errors of the source keep their code. */
async function told<T>(uri: string, action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (cause) {
    throw codeOf(cause) === null ? damaged(uri, `its zip archive: ${messageOf(cause)}`) : cause;
  }
}

async function memberOf(bytes: ByteSource, archive: ZipFile, entry: Entry): Promise<Member> {
  const { uri } = bytes;
  const name = Buffer.from(entry.fileName as unknown as Uint8Array).toString('utf8');
  const obstacle = zipObstacle(entry.generalPurposeBitFlag, entry.compressionMethod);
  return {
    name,
    sizeBytes: entry.uncompressedSize,
    kind: name.endsWith('/') ? 'other' : 'file',
    obstacle,
    window: null,
    async *open() {
      const { fileDataStart } = await told(uri, () => archive.readLocalFileHeaderPromise(entry, { minimal: true }));
      yield* contentOf(bytes, entry, fileDataStart, name);
    },
  };
}

async function* contentOf(
  bytes: ByteSource,
  entry: Entry,
  offsetBytes: number,
  name: string,
): AsyncGenerator<Uint8Array> {
  const { uri } = bytes;
  const { compressedSize, uncompressedSize, compressionMethod } = entry;
  const used = { compressedBytes: compressedSize };
  const reader = new ByteReader(readRange(bytes, offsetBytes, compressedSize));
  const pieces =
    compressionMethod === DEFLATED
      ? inflate(reader, compressedSize, used, (what) => damaged(uri, `its member ${name}: ${what}`))
      : exactly(reader, compressedSize, () => damaged(uri, `it ends within its member ${name}`));
  let checksum = 0;
  let sizeBytes = 0;
  for await (const piece of pieces) {
    checksum = crc32(piece, checksum);
    sizeBytes += piece.byteLength;
    yield piece;
  }
  if (checksum !== entry.crc32 || sizeBytes !== uncompressedSize || used.compressedBytes !== compressedSize) {
    throw damaged(uri, `its member ${name} is not what its check sum and sizes say`);
  }
}
