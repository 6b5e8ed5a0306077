// Where xz data end, in front of data that are none. xz(1) has the same words for garbage behind the data as for damage
// within, so
// the end is looked for, and what lies behind is kept from it (tukaani.org/xz/xz-file-format.txt, 2.1.2 and 2.2).
import { crc32 } from 'node:zlib';
import { hasAt, viewOf } from './magic.ts';

/** Data behind the end are looked for in the last so many bytes. */
export const TAIL_BYTES = 1024 * 1024;
const FOOTER_BYTES = 12;

/** Offset in `tail`, the last bytes of a file, behind the last footer of a stream in it; null when there is none. */
export function xzEnd(tail: Uint8Array): number | null {
  const view = viewOf(tail);
  for (let end = tail.byteLength; end >= FOOTER_BYTES; end -= 1) {
    if (tail[end - 2] !== 0x59 || tail[end - 1] !== 0x5a) continue;
    const at = end - FOOTER_BYTES;
    // Stream flags: a zero, and one of 16 kinds of checks.
    if (tail[at + 8] !== 0 || (tail[at + 9] ?? 0xff) > 15) continue;
    if (crc32(tail.subarray(at + 4, at + 10)) === view.getUint32(at, true)) return end;
  }
  return null;
}

const MAGIC = [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00];

/**
 * Pieces up to the end of the xz data; says how much was left out. Zeros in fours are a part of the format. What begins
 * like another
 * stream is passed on: if it is damaged, xz(1) says so.
 */
export async function* upToXzEnd(
  pieces: AsyncIterable<Uint8Array>,
  onIgnored: (ignoredBytes: number, fromByte: number) => void,
  tailBytes = TAIL_BYTES,
): AsyncGenerator<Uint8Array> {
  const held: Uint8Array[] = [];
  let heldBytes = 0;
  let passed = 0;
  for await (const piece of pieces) {
    held.push(piece);
    heldBytes += piece.byteLength;
    for (let first = held[0]; first !== undefined && heldBytes > tailBytes; first = held[0]) {
      // Exactly the tail is kept: whether an end is found must not depend on the sizes of the pieces.
      const given = first.subarray(0, heldBytes - tailBytes);
      if (given.byteLength === first.byteLength) held.shift();
      else held[0] = first.subarray(given.byteLength);
      heldBytes -= given.byteLength;
      passed += given.byteLength;
      yield given;
    }
  }
  const tail = Buffer.concat(held);
  const end = xzEnd(tail);
  if (end === null || end === tail.byteLength || hasAt(tail, MAGIC, end)) {
    yield tail;
    return;
  }
  yield tail.subarray(0, end);
  const behind = tail.subarray(end);
  if (behind.some((byte) => byte !== 0)) onIgnored(behind.byteLength, passed + end);
}
