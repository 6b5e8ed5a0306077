// Bytes as a reader gets them, counted: in pieces of any size, or at any offset. Who asks on behind the end, or for
// more at once than a reader may hold, is found.
import type { Random } from '../../src/base/mod.ts';
import { ByteReader } from '../../src/replication/source/byte-reader.ts';
import type { ByteSource } from '../../src/replication/source/byte-source.ts';
import { Finding } from './fuzz.ts';

/** Nobody holds more than this at a time: extension headers and pieces are of at most a mebibyte. */
const HELD_BYTES_MAX = 2 * 1024 * 1024;
/** So often a reader may be told that the end has come. */
const ENDS_MAX = 64;

/** Sizes of pieces, repeated: seldom single bytes, which take their time, else what comes. */
export function pieceSizes(random: Random): readonly number[] {
  if (random.below(64) === 0) return [1 + random.below(3)];
  return Array.from({ length: 3 + random.below(5) }, () => 1 + random.below(random.below(3) === 0 ? 40 : 3000));
}

/** `sizes` empty: all in one piece. */
export function inPieces(bytes: Uint8Array, sizes: readonly number[]): AsyncIterable<Uint8Array> {
  let at = 0;
  let turn = 0;
  let ends = 0;
  const iterator: AsyncIterator<Uint8Array> = {
    next() {
      if (at >= bytes.byteLength) {
        ends += 1;
        if (ends > ENDS_MAX) return Promise.reject(new Finding('asks again and again behind the end'));
        return Promise.resolve({ done: true, value: undefined });
      }
      const size = sizes[turn++ % sizes.length] ?? bytes.byteLength;
      const value = bytes.subarray(at, at + size);
      at += value.byteLength;
      return Promise.resolve({ done: false, value });
    },
    return: () => Promise.resolve({ done: true, value: undefined }),
  };
  return { [Symbol.asyncIterator]: () => iterator };
}

export class BoundedReader extends ByteReader {
  override take(lengthBytes: number): Promise<Uint8Array> {
    if (lengthBytes <= HELD_BYTES_MAX) return super.take(lengthBytes);
    return Promise.reject(new Finding(`wants to hold ${lengthBytes} bytes`));
  }
}

export function bytesAsSource(bytes: Uint8Array, access: ByteSource['access'] = 'random'): ByteSource {
  let reads = 0;
  return {
    uri: 'input',
    sizeBytes: bytes.byteLength,
    access,
    fd: null,
    open: () => inPieces(bytes, []),
    readAt(offsetBytes, lengthBytes) {
      reads += 1;
      if (lengthBytes > HELD_BYTES_MAX) return Promise.reject(new Finding(`wants to hold ${lengthBytes} bytes`));
      if (reads > 1000 + bytes.byteLength) return Promise.reject(new Finding('reads again and again'));
      if (!(Number.isSafeInteger(offsetBytes) && offsetBytes >= 0 && lengthBytes >= 0)) {
        return Promise.reject(new Finding(`reads ${lengthBytes} bytes at ${offsetBytes}`));
      }
      return Promise.resolve(bytes.slice(offsetBytes, offsetBytes + lengthBytes));
    },
    fingerprint: () => '',
    close: () => Promise.resolve(),
  };
}

export interface Collected {
  readonly bytes: Buffer;
  /** There was more than is looked at. */
  readonly cut: boolean;
}

/** Up to so many bytes of what a reader gives. */
export async function collect(pieces: AsyncIterable<Uint8Array>, maxBytes: number): Promise<Collected> {
  const parts: Uint8Array[] = [];
  let total = 0;
  let empty = 0;
  for await (const piece of pieces) {
    if (piece.byteLength === 0) empty += 1;
    if (empty > 1000) throw new Finding('gives nothing again and again');
    parts.push(Uint8Array.from(piece));
    total += piece.byteLength;
    if (total >= maxBytes) return { bytes: Buffer.concat(parts).subarray(0, maxBytes), cut: true };
  }
  return { bytes: Buffer.concat(parts), cut: false };
}

/** A source that nobody wants to hear warnings of. */
export const QUIET = { uri: 'input', onWarning: () => undefined };
