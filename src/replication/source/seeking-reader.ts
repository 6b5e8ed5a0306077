// Stored bytes that can be read at any offset, as a reader in order that goes over bytes without reading them.
import type { ByteSource } from './byte-source.ts';

const PIECE_BYTES = 256 * 1024;

export class SeekingReader {
  readonly #bytes: ByteSource;
  #at = 0;

  constructor(bytes: ByteSource) {
    this.#bytes = bytes;
  }

  get offsetBytes(): number {
    return this.#at;
  }

  /** The next bytes, at least one and at most so many; null at the end. */
  async some(maxBytes: number): Promise<Uint8Array | null> {
    const some = await this.#bytes.readAt(this.#at, Math.min(maxBytes, PIECE_BYTES));
    this.#at += some.byteLength;
    return some.byteLength === 0 ? null : some;
  }

  /** The next `lengthBytes`, fewer only at the end. */
  async take(lengthBytes: number): Promise<Uint8Array> {
    const bytes = await this.#bytes.readAt(this.#at, lengthBytes);
    this.#at += bytes.byteLength;
    return bytes;
  }

  /** Goes over so many bytes; the number that there were. */
  skip(lengthBytes: number): Promise<number> {
    const end = this.#bytes.sizeBytes ?? this.#at;
    const skipped = Math.max(0, Math.min(lengthBytes, end - this.#at));
    this.#at += skipped;
    return Promise.resolve(skipped);
  }
}

/** A part of stored bytes as pieces; fewer where they end before. */
export async function* readRange(
  bytes: ByteSource,
  offsetBytes: number,
  lengthBytes: number,
): AsyncGenerator<Uint8Array> {
  for (let done = 0; done < lengthBytes; ) {
    const piece = await bytes.readAt(offsetBytes + done, Math.min(PIECE_BYTES, lengthBytes - done));
    if (piece.byteLength === 0) return;
    done += piece.byteLength;
    yield piece;
  }
}
