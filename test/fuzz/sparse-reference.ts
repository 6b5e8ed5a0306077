// Android sparse images once more, all at once and in the simplest way: what the reader is compared with.
import { crc32 } from 'node:zlib';

const RAW = 0xcac1;
const FILL = 0xcac2;
const SKIP = 0xcac3;
const CHECK = 0xcac4;

/** The image; null where the file is damaged. */
export function expandSparse(bytes: Uint8Array, maxBytes: number): Buffer | 'too long' | null {
  const file = Buffer.from(bytes);
  if (file.length < 28 || file.readUInt32LE(0) !== 0xed26ff3a || file.readUInt16LE(4) !== 1) return null;
  const [headerBytes, chunkBytes, block] = [file.readUInt16LE(8), file.readUInt16LE(10), file.readUInt32LE(12)];
  const [blocks, chunks, checksum] = [file.readUInt32LE(16), file.readUInt32LE(20), file.readUInt32LE(24)];
  const fits = headerBytes >= 28 && chunkBytes >= 12 && block >= 4 && block % 4 === 0 && block <= 64 * 1024 * 1024;
  if (!fits || !Number.isSafeInteger(blocks * block)) return null;
  if (blocks * block > maxBytes) return 'too long';
  const image = Buffer.alloc(blocks * block);
  let end = 0;
  let at = headerBytes;
  for (let index = 0; index < chunks; index += 1) {
    if (at + chunkBytes > file.length) return null;
    const type = file.readUInt16LE(at);
    const length = file.readUInt32LE(at + 4) * block;
    const body = file.readUInt32LE(at + 8) - chunkBytes;
    at += chunkBytes;
    if (end + length > image.length || body < 0 || at + body > file.length) return null;
    if (type === RAW && body === length) file.copy(image, end, at, at + body);
    else if (type === FILL && body === 4) image.fill(file.subarray(at, at + 4), end, end + length);
    else if (type === CHECK && body === 4 && length === 0) {
      if (file.readUInt32LE(at) !== crc32(image.subarray(0, end))) return null;
    } else if (type !== SKIP || body !== 0) return null;
    at += body;
    end += length;
  }
  const whole = end === image.length && at <= file.length;
  return whole && (checksum === 0 || checksum === crc32(image)) ? image : null;
}
