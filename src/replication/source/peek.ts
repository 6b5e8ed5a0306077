// What a compressed member of an archive begins with, found out in this process: systems are packed with thousands of
// compressed manual pages and logs, and to start a program for each would take minutes. Only gzip, which Node.js can
// undo; how many members of other kinds are looked into is bounded (container.ts).
import { constants, createGunzip } from 'node:zlib';
import type { Flow } from './flow.ts';
import { detectFormat } from './format.ts';
import { diskSignature, SIGNATURE_BYTES } from './signature.ts';
import { unreadFormat } from './unread.ts';
import type { Unwrapped } from './unwrapped.ts';

/** The last of what images are told by lies before. */
const ENOUGH_BYTES = SIGNATURE_BYTES / 2 + 4096;

/**
 * The member as something that is no image; null where it may be one, and a program has to tell. What is ignored need
 * not be sound, so damage is not looked for.
 */
export async function peek(flow: Flow): Promise<Unwrapped | null> {
  if (detectFormat(flow.first) !== 'gzip') return null;
  const front = await frontOf(flow.first);
  if (front === null || (front.byteLength < ENOUGH_BYTES && !flow.whole)) return null;
  const inner: Flow = { ...flow, first: front };
  const format = detectFormat(front);
  if (format === 'tar' || format === 'zip') return { kind: 'container', format, flow: inner };
  if (format !== 'raw' || diskSignature(front) !== null) return null;
  const unread = unreadFormat(front.subarray(0, 4097));
  return unread === null ? { kind: 'raw', flow: inner } : { kind: 'unread', unread, flow: inner };
}

/** Null for data that are damaged so early. */
async function frontOf(compressed: Uint8Array): Promise<Uint8Array | null> {
  const gunzip = createGunzip({ finishFlush: constants.Z_SYNC_FLUSH });
  const pieces: Uint8Array[] = [];
  let bytes = 0;
  gunzip.end(compressed);
  try {
    for await (const piece of gunzip) {
      pieces.push(piece as Uint8Array);
      bytes += (piece as Uint8Array).byteLength;
      if (bytes >= SIGNATURE_BYTES) break;
    }
  } catch {
    return null;
  }
  return Buffer.concat(pieces).subarray(0, SIGNATURE_BYTES);
}
