// Small disk images that show a partition table, and what they are packed into: by the real tools, or by hand where a
// tool
// would not make what a test needs.
import { crc32 } from 'node:zlib';
import { randomBytesOf } from '../rig/content.ts';

const SECTOR_BYTES = 512;

/** Random bytes behind an MBR with one partition that fills the disk; without it where there is no room for one. */
export function diskBytes(sizeBytes: number, seed = 1): Buffer {
  const bytes = randomBytesOf(seed, sizeBytes);
  if (sizeBytes < 2 * SECTOR_BYTES) return bytes;
  bytes.fill(0, 0, SECTOR_BYTES);
  bytes[446 + 4] = 0x83;
  bytes.writeUInt32LE(1, 446 + 8);
  bytes.writeUInt32LE(Math.floor(sizeBytes / SECTOR_BYTES) - 1, 446 + 12);
  bytes.writeUInt16LE(0xaa55, 510);
  return bytes;
}

export type SparseChunk =
  | { readonly raw: Buffer }
  | { readonly fill: number; readonly blocks: number }
  | { readonly skip: number }
  | { readonly crc: number };

export interface SparseOptions {
  readonly blocks?: number;
  readonly chunks?: number;
  readonly checksum?: number;
  readonly major?: number;
}

export const SPARSE_BLOCK_BYTES = 4096;

function chunk(type: number, blocks: number, body: Buffer): Buffer {
  const header = Buffer.alloc(12);
  header.writeUInt16LE(type, 0);
  header.writeUInt32LE(blocks, 4);
  header.writeUInt32LE(12 + body.length, 8);
  return Buffer.concat([header, body]);
}

function word(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value >>> 0);
  return bytes;
}

function encode(part: SparseChunk): { readonly bytes: Buffer; readonly blocks: number } {
  if ('raw' in part) {
    const blocks = part.raw.length / SPARSE_BLOCK_BYTES;
    return { bytes: chunk(0xcac1, blocks, part.raw), blocks };
  }
  if ('fill' in part) return { bytes: chunk(0xcac2, part.blocks, word(part.fill)), blocks: part.blocks };
  if ('skip' in part) return { bytes: chunk(0xcac3, part.skip, Buffer.alloc(0)), blocks: part.skip };
  return { bytes: chunk(0xcac4, 0, word(part.crc)), blocks: 0 };
}

/** An Android sparse image of these chunks; what the options say overrides what would be right. */
export function androidSparse(parts: readonly SparseChunk[], options: SparseOptions = {}): Buffer {
  const encoded = parts.map(encode);
  const header = Buffer.alloc(28);
  header.writeUInt32LE(0xed26ff3a, 0);
  header.writeUInt16LE(options.major ?? 1, 4);
  header.writeUInt16LE(28, 8);
  header.writeUInt16LE(12, 10);
  header.writeUInt32LE(SPARSE_BLOCK_BYTES, 12);
  header.writeUInt32LE(options.blocks ?? encoded.reduce((sum, { blocks }) => sum + blocks, 0), 16);
  header.writeUInt32LE(options.chunks ?? encoded.length, 20);
  header.writeUInt32LE(options.checksum ?? 0, 24);
  return Buffer.concat([header, ...encoded.map(({ bytes }) => bytes)]);
}

export interface ZipMember {
  readonly name: string;
  readonly content: Buffer;
  /** General purpose flags; 1 says encrypted. */
  readonly flags?: number;
  readonly method?: number;
}

/** A zip archive whose members are stored, whatever its headers say. */
export function zipOf(members: readonly ZipMember[]): Buffer {
  const locals: Buffer[] = [];
  const directory: Buffer[] = [];
  let at = 0;
  for (const { name, content, flags = 0, method = 0 } of members) {
    const common = Buffer.alloc(26);
    common.writeUInt16LE(20, 0);
    common.writeUInt16LE(flags, 2);
    common.writeUInt16LE(method, 4);
    common.writeUInt32LE(crc32(content), 10);
    common.writeUInt32LE(content.length, 14);
    common.writeUInt32LE(content.length, 18);
    common.writeUInt16LE(Buffer.byteLength(name), 22);
    const local = Buffer.concat([Buffer.from('PK\x03\x04', 'latin1'), common, Buffer.from(name), content]);
    const rest = Buffer.alloc(14);
    rest.writeUInt32LE(at, 10);
    directory.push(Buffer.from('PK\x01\x02\x14\x00', 'latin1'), common, rest, Buffer.from(name));
    locals.push(local);
    at += local.length;
  }
  const listed = Buffer.concat(directory);
  const end = Buffer.alloc(22);
  end.write('PK\x05\x06', 'latin1');
  end.writeUInt16LE(members.length, 8);
  end.writeUInt16LE(members.length, 10);
  end.writeUInt32LE(listed.length, 12);
  end.writeUInt32LE(at, 16);
  return Buffer.concat([...locals, listed, end]);
}

/** A tar header with its check sum; the size counts, the content is the caller's. */
export function tarHeader(name: string, sizeBytes: number, type = '0'): Buffer {
  const header = Buffer.alloc(512);
  header.write(name, 0);
  header.write('0000644\0', 100);
  header.write(`${sizeBytes.toString(8).padStart(11, '0')}\0`, 124);
  header.write('        ', 148);
  header.write(type, 156);
  header.write('ustar\u000000', 257, 'latin1');
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return header;
}

export function tarOf(members: readonly { readonly name: string; readonly content: Buffer }[]): Buffer {
  const parts = members.flatMap(({ name, content }) => {
    const padding = Buffer.alloc((512 - (content.length % 512)) % 512);
    return [tarHeader(name, content.length), content, padding];
  });
  return Buffer.concat([...parts, Buffer.alloc(1024)]);
}
