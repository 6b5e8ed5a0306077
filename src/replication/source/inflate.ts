// The content of a deflated zip member: raw DEFLATE (RFC 1951), which knows its own end.
import { createInflateRaw } from 'node:zlib';
import { messageOf } from '../../base/mod.ts';
import type { ByteReader } from './byte-reader.ts';

const PIECE_BYTES = 256 * 1024;

/** Compressed bytes that were used up; the rest of what was read has been given back to the reader. */
export interface Inflated {
  compressedBytes: number;
}

/**
 * Decompresses from the reader, which afterwards stands right behind the end of the compressed data. `limitBytes`: no
 * more of them are
 * read. @throws what `damage` makes of damaged data and of an end that comes too early
 */
export async function* inflate(
  reader: ByteReader,
  limitBytes: number | null,
  used: Inflated,
  damage: (what: string) => Error,
): AsyncGenerator<Uint8Array> {
  const inflater = createInflateRaw({ chunkSize: PIECE_BYTES });
  let over = false;
  const ended = new Promise<void>((resolve) => {
    for (const event of ['end', 'error', 'close'] as const) {
      inflater.once(event, () => {
        over = true;
        resolve();
      });
    }
  });
  let last: Uint8Array = new Uint8Array(0);
  let fed = 0;
  const feed = async (): Promise<void> => {
    while (!over) {
      const room = limitBytes === null ? PIECE_BYTES : Math.min(PIECE_BYTES, limitBytes - fed);
      const some = room === 0 ? null : await reader.some(room);
      if (some === null) {
        inflater.end();
        return;
      }
      last = some;
      fed += some.byteLength;
      await Promise.race([new Promise<void>((resolve) => inflater.write(some, () => resolve())), ended]);
      // The data have ended within this piece: another one would not be theirs, and only the last one can be given back.
      if (inflater.bytesWritten < fed) return;
    }
  };
  // A source that fails ends the decompression with its own error.
  const feeding = feed().catch((error: unknown) => inflater.destroy(error as Error));
  try {
    for await (const piece of inflater) yield piece as Uint8Array;
  } catch (error) {
    throw (error as { code?: unknown }).code?.toString().startsWith('Z_') === true ? damage(messageOf(error)) : error;
  } finally {
    inflater.destroy();
    await feeding;
  }
  used.compressedBytes = inflater.bytesWritten;
  reader.giveBack(last.subarray(last.byteLength - (fed - inflater.bytesWritten)));
}
