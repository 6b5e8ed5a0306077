// The digest of a stream up to where it broke, for comparing it with a second reading.
import { limits } from '../../../base/mod.ts';
import { allocatePages, Digester, type Mapping } from '../../../linux/mod.ts';

const SCRATCH_BYTES = 256 * limits.KIB;

export class StreamDigest {
  readonly #digester = new Digester();
  readonly #scratch: Mapping = allocatePages(SCRATCH_BYTES);
  #filledBytes = 0;
  /** Bytes from the start of the stream. */
  position = 0;

  add(bytes: Uint8Array): void {
    this.position += bytes.byteLength;
    for (let at = 0; at < bytes.byteLength; ) {
      const piece = bytes.subarray(at, at + SCRATCH_BYTES - this.#filledBytes);
      new Uint8Array(this.#scratch.buffer).set(piece, this.#filledBytes);
      this.#filledBytes += piece.byteLength;
      at += piece.byteLength;
      if (this.#filledBytes === SCRATCH_BYTES) this.#flush();
    }
  }

  hex(): string {
    this.#flush();
    return this.#digester.hex();
  }

  #flush(): void {
    if (this.#filledBytes === 0) return;
    this.#digester.add(new Uint8Array(this.#scratch.buffer, 0, this.#filledBytes));
    this.#filledBytes = 0;
  }

  close(): void {
    this.#digester.close();
    this.#scratch.unmap();
  }
}
