// Android sparse images (AOSP, system/core/libsparse, sparse_format.h): the image in chunks of whole blocks, each of
// them raw, one word
// repeated, or nothing. Read in order, with every field checked before it is believed.
import { crc32 } from 'node:zlib';
import { type ByteReader, exactly } from './byte-reader.ts';
import { damaged } from './damage.ts';
import { hasAt, viewOf } from './magic.ts';

const FILE_HEADER_BYTES = 28;
const CHUNK_HEADER_BYTES = 12;
const RAW = 0xcac1;
const FILL = 0xcac2;
const DONT_CARE = 0xcac3;
const CRC32 = 0xcac4;
/** Blocks of images are pages; more is a mistake, or somebody's try to make us hold much. */
const BLOCK_BYTES_MAX = 64 * 1024 * 1024;
const PIECE_BYTES = 1024 * 1024;

interface FileHeader {
  readonly headerBytes: number;
  readonly chunkHeaderBytes: number;
  readonly blockBytes: number;
  readonly blocks: number;
  readonly chunks: number;
  /** Of the whole image, holes as zeros; 0 where it was not written. */
  readonly checksum: number;
}

interface Chunk {
  readonly type: number;
  readonly imageBytes: number;
  readonly bodyBytes: number;
}

export interface SparseImage {
  readonly sizeBytes: number;
  readonly bytes: AsyncIterable<Uint8Array>;
}

/** @throws SOURCE_CORRUPT, here or while `bytes` are read */
export async function readSparseImage(
  reader: ByteReader,
  uri: string,
  onWarning: (warning: string) => void,
): Promise<SparseImage> {
  const header = await readHeader(reader, uri);
  return { sizeBytes: header.blocks * header.blockBytes, bytes: expand(reader, header, uri, onWarning) };
}

async function readHeader(reader: ByteReader, uri: string): Promise<FileHeader> {
  const bytes = await reader.take(FILE_HEADER_BYTES);
  if (bytes.byteLength < FILE_HEADER_BYTES) throw damaged(uri, 'it ends within the header of its sparse image');
  const view = viewOf(bytes);
  const version = view.getUint16(4, true);
  if (version !== 1) throw damaged(uri, `its sparse image is of version ${version}, and only version 1 is known`);
  const header = {
    headerBytes: view.getUint16(8, true),
    chunkHeaderBytes: view.getUint16(10, true),
    blockBytes: view.getUint32(12, true),
    blocks: view.getUint32(16, true),
    chunks: view.getUint32(20, true),
    checksum: view.getUint32(24, true),
  };
  const sound =
    hasAt(bytes, [0x3a, 0xff, 0x26, 0xed]) &&
    view.getUint16(4, true) === 1 &&
    header.headerBytes >= FILE_HEADER_BYTES &&
    header.chunkHeaderBytes >= CHUNK_HEADER_BYTES &&
    header.blockBytes > 0 &&
    header.blockBytes % 4 === 0 &&
    header.blockBytes <= BLOCK_BYTES_MAX &&
    Number.isSafeInteger(header.blocks * header.blockBytes);
  if (!sound) throw damaged(uri, 'the header of its sparse image contradicts itself');
  const rest = header.headerBytes - FILE_HEADER_BYTES;
  if ((await reader.skip(rest)) < rest) throw damaged(uri, 'it ends within the header of its sparse image');
  return header;
}

async function* expand(
  reader: ByteReader,
  header: FileHeader,
  uri: string,
  onWarning: (warning: string) => void,
): AsyncGenerator<Uint8Array> {
  let left = header.blocks * header.blockBytes;
  let checksum = 0;
  for (let index = 0; index < header.chunks; index += 1) {
    const chunk = await readChunk(reader, header, uri, index);
    if (chunk.imageBytes > left) throw damaged(uri, `chunk ${index} goes beyond the end of the image`);
    left -= chunk.imageBytes;
    if (chunk.type === CRC32) {
      const wanted = viewOf(await takeAll(reader, 4, uri, index)).getUint32(0, true);
      if (wanted !== checksum) throw damaged(uri, `the check sum in chunk ${index} does not fit`);
      continue;
    }
    for await (const piece of contentOf(reader, chunk, uri, index)) {
      checksum = crc32(piece, checksum);
      yield piece;
    }
  }
  if (left > 0) throw damaged(uri, `its chunks are ${left} bytes shorter than the image`);
  if (header.checksum !== 0 && header.checksum !== checksum)
    throw damaged(uri, 'the check sum of the image does not fit');
  const behind = await reader.skip(Number.MAX_SAFE_INTEGER);
  if (behind > 0) onWarning(`ignored ${behind} bytes behind the end of the Android sparse image`);
}

async function readChunk(reader: ByteReader, header: FileHeader, uri: string, index: number): Promise<Chunk> {
  const view = viewOf(await takeAll(reader, CHUNK_HEADER_BYTES, uri, index));
  const type = view.getUint16(0, true);
  const imageBytes = view.getUint32(4, true) * header.blockBytes;
  const bodyBytes = view.getUint32(8, true) - header.chunkHeaderBytes;
  const wanted = { [RAW]: imageBytes, [FILL]: 4, [DONT_CARE]: 0, [CRC32]: 4 }[type];
  if (wanted === undefined) throw damaged(uri, `chunk ${index} is of the unknown type ${type.toString(16)}`);
  if (bodyBytes !== wanted || (type === CRC32 && imageBytes !== 0)) {
    throw damaged(uri, `the header of chunk ${index} contradicts itself`);
  }
  const rest = header.chunkHeaderBytes - CHUNK_HEADER_BYTES;
  if ((await reader.skip(rest)) < rest) throw endsWithin(uri, index);
  return { type, imageBytes, bodyBytes };
}

async function* contentOf(reader: ByteReader, chunk: Chunk, uri: string, index: number): AsyncGenerator<Uint8Array> {
  if (chunk.type === RAW) {
    yield* exactly(reader, chunk.bodyBytes, () => endsWithin(uri, index));
    return;
  }
  const piece = Buffer.alloc(Math.min(PIECE_BYTES, chunk.imageBytes));
  if (chunk.type === FILL) piece.fill(await takeAll(reader, 4, uri, index));
  for (let left = chunk.imageBytes; left > 0; left -= piece.byteLength) {
    yield left < piece.byteLength ? piece.subarray(0, left) : piece;
  }
}

async function takeAll(reader: ByteReader, lengthBytes: number, uri: string, index: number): Promise<Uint8Array> {
  const bytes = await reader.take(lengthBytes);
  if (bytes.byteLength < lengthBytes) throw endsWithin(uri, index);
  return bytes;
}

function endsWithin(uri: string, index: number): Error {
  return damaged(uri, `it ends within chunk ${index} of its sparse image`);
}
