// The header of a tar member (POSIX.1-2017, pax, "ustar Interchange Format"; GNU tar manual, "Basic Tar Format").
import { textAt, viewOf } from './magic.ts';

export const TAR_BLOCK_BYTES = 512;

export interface TarHeader {
  readonly name: string;
  readonly sizeBytes: number;
  /** The type flag; '0' for a regular file, also of the oldest archives. */
  readonly type: string;
}

/** Whether a block is the header of a member: its check sum says so, also where archives have no magic. */
export function isTarHeader(block: Uint8Array): boolean {
  if (block.byteLength < TAR_BLOCK_BYTES || block[0] === 0) return false;
  const wanted = octalAt(block, 148, 8);
  if (wanted === null) return false;
  let unsigned = 8 * 0x20;
  let signed = unsigned;
  for (let at = 0; at < TAR_BLOCK_BYTES; at += 1) {
    if (at >= 148 && at < 156) continue;
    const byte = block[at] ?? 0;
    unsigned += byte;
    // Sums of some old programs take bytes for signed ones.
    signed += byte > 127 ? byte - 256 : byte;
  }
  return wanted === unsigned || wanted === signed;
}

/** The header in a block that `isTarHeader`; null where a field cannot be right. */
export function parseTarHeader(block: Uint8Array): TarHeader | null {
  const sizeBytes = numberAt(block, 124, 12);
  if (sizeBytes === null) return null;
  const flag = String.fromCharCode(block[156] ?? 0);
  const own = textAt(block, 0, 100);
  const posix = textAt(block, 257, 6) === 'ustar' && block[262] === 0;
  const prefix = posix ? textAt(block, 345, 155) : '';
  const name = prefix === '' ? own : `${prefix}/${own}`;
  // The oldest archives mark folders by the name alone; a name that is cut off may end so too, but says its type.
  const file = flag === '\0' || flag === '7' || flag === '0';
  return { name, sizeBytes, type: file ? (flag === '\0' && name.endsWith('/') ? '5' : '0') : flag };
}

/** Octal digits among blanks and NULs, or base-256 with the highest bit set (GNU). */
function numberAt(block: Uint8Array, at: number, lengthBytes: number): number | null {
  if (((block[at] ?? 0) & 0x80) === 0) return octalAt(block, at, lengthBytes);
  const view = viewOf(block);
  if (block[at] !== 0x80) return null;
  for (let index = at + 1; index < at + lengthBytes - 8; index += 1) if (block[index] !== 0) return null;
  const value = view.getBigUint64(at + lengthBytes - 8);
  return value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : null;
}

function octalAt(block: Uint8Array, at: number, lengthBytes: number): number | null {
  const text = textAt(block, at, lengthBytes).trim();
  if (!/^[0-7]*$/.test(text)) return null;
  const value = text === '' ? 0 : Number.parseInt(text, 8);
  return Number.isSafeInteger(value) ? value : null;
}
