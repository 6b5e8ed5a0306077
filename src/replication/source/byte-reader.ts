// Reads in pieces of the reader's own choice what comes in pieces of others' choice. Bounded: it holds one piece, and
// what is asked for at a time.

const NOTHING = new Uint8Array(0);

export class ByteReader {
  readonly #pieces: AsyncIterator<Uint8Array>;
  #held: Uint8Array = NOTHING;
  #offset = 0;
  #ended = false;

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#pieces = source[Symbol.asyncIterator]();
  }

  /** Bytes taken so far. */
  get offsetBytes(): number {
    return this.#offset;
  }

  /** The next bytes, at least one and at most so many; null at the end. */
  async some(maxBytes: number): Promise<Uint8Array | null> {
    while (this.#held.byteLength === 0) {
      if (this.#ended) return null;
      const next = await this.#pieces.next();
      if (next.done === true) this.#ended = true;
      else this.#held = next.value;
    }
    const taken = this.#held.subarray(0, maxBytes);
    this.#held = this.#held.subarray(taken.byteLength);
    this.#offset += taken.byteLength;
    return taken;
  }

  /** The next `lengthBytes`, fewer only at the end. A copy: the caller's. */
  async take(lengthBytes: number): Promise<Uint8Array> {
    const bytes = new Uint8Array(lengthBytes);
    let filled = 0;
    while (filled < lengthBytes) {
      const some = await this.some(lengthBytes - filled);
      if (some === null) return bytes.subarray(0, filled);
      bytes.set(some, filled);
      filled += some.byteLength;
    }
    return bytes;
  }

  /** Gives back bytes that were taken last: they are the next ones. */
  giveBack(bytes: Uint8Array): void {
    if (bytes.byteLength === 0) return;
    this.#held = this.#held.byteLength === 0 ? bytes : Buffer.concat([bytes, this.#held]);
    this.#offset -= bytes.byteLength;
  }

  /** Goes over so many bytes; the number that there were. */
  async skip(lengthBytes: number): Promise<number> {
    let skipped = 0;
    while (skipped < lengthBytes) {
      const some = await this.some(lengthBytes - skipped);
      if (some === null) break;
      skipped += some.byteLength;
    }
    return skipped;
  }

  /** Everything up to the end. */
  async *rest(): AsyncGenerator<Uint8Array> {
    for (;;) {
      const some = await this.some(Number.MAX_SAFE_INTEGER);
      if (some === null) return;
      yield some;
    }
  }

  async close(): Promise<void> {
    this.#ended = true;
    this.#held = NOTHING;
    await this.#pieces.return?.();
  }
}

/** Exactly these many bytes as pieces. @throws what `short` makes when there are fewer */
export async function* exactly(
  reader: Pick<ByteReader, 'some'>,
  lengthBytes: number,
  short: (missingBytes: number) => Error,
): AsyncGenerator<Uint8Array> {
  for (let left = lengthBytes; left > 0; ) {
    const some = await reader.some(left);
    if (some === null) throw short(left);
    left -= some.byteLength;
    yield some;
  }
}
