// The bytes of an image, read in aligned chunks that are kept for a while: file systems put together what is read
// together. Reads do not let other work of the process have its turn: a search makes hundreds of thousands of them, and
// to wait for each would take several times as long. Who makes many gives others their turn.
import { readSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { errnoOf, UnderstudyError } from '../../base/mod.ts';

const CHUNK_BYTES = 64 * 1024;
/** 16 MiB: the inode tables and folders of a system's /etc many times over. */
const CHUNKS_MAX = 256;

export class ImageFile {
  /** For messages. */
  readonly name: string;
  readonly #file: FileHandle;
  readonly #signal: AbortSignal;
  readonly #chunks = new Map<number, Buffer>();
  /** The chunk that was read last. */
  #last: { readonly index: number; readonly chunk: Buffer } | null = null;

  constructor(name: string, file: FileHandle, signal: AbortSignal) {
    this.name = name;
    this.#file = file;
    this.#signal = signal;
  }

  /**
   * @param name what messages call it
   * @throws IMAGE_UNSUPPORTED when it cannot be opened
   */
  static async open(path: string, name: string, signal: AbortSignal): Promise<ImageFile> {
    try {
      return new ImageFile(name, await open(path, 'r'), signal);
    } catch (cause) {
      throw new UnderstudyError('IMAGE_UNSUPPORTED', `${name} cannot be opened: ${errnoOf(cause)}`, { cause });
    }
  }

  /**
   * Fewer bytes than asked for only where the image ends. @throws IMAGE_DAMAGED when the storage cannot read,
   * INTERRUPTED
   */
  read(offsetBytes: number, lengthBytes: number): Buffer {
    const end = offsetBytes + lengthBytes;
    if (lengthBytes > CHUNK_BYTES) return this.#load(offsetBytes, lengthBytes);
    const parts: Buffer[] = [];
    for (let at = offsetBytes; at < end; ) {
      const index = Math.floor(at / CHUNK_BYTES);
      const chunk = this.#chunk(index);
      const from = at - index * CHUNK_BYTES;
      const part = chunk.subarray(from, Math.min(from + end - at, CHUNK_BYTES));
      if (part.length === 0) break;
      parts.push(part);
      at += part.length;
    }
    return parts.length === 1 && parts[0] !== undefined ? parts[0] : Buffer.concat(parts);
  }

  async close(): Promise<void> {
    this.#chunks.clear();
    this.#last = null;
    await this.#file.close();
  }

  #chunk(index: number): Buffer {
    if (this.#last?.index === index) return this.#last.chunk;
    const known = this.#chunks.get(index);
    this.#chunks.delete(index);
    const chunk = known ?? this.#load(index * CHUNK_BYTES, CHUNK_BYTES);
    this.#last = { index, chunk };
    this.#chunks.set(index, chunk);
    const oldest = this.#chunks.keys().next().value;
    if (this.#chunks.size > CHUNKS_MAX && oldest !== undefined) this.#chunks.delete(oldest);
    return chunk;
  }

  #load(offsetBytes: number, lengthBytes: number): Buffer {
    if (this.#signal.aborted) throw new UnderstudyError('INTERRUPTED', `reading ${this.name} was stopped`);
    // Only what was read of it gets out.
    const buffer = Buffer.allocUnsafeSlow(lengthBytes);
    let done = 0;
    while (done < lengthBytes) {
      const bytesRead = this.#readAt(buffer, done, offsetBytes + done);
      if (bytesRead === 0) break;
      done += bytesRead;
    }
    return buffer.subarray(0, done);
  }

  #readAt(buffer: Buffer, at: number, offsetBytes: number): number {
    try {
      return readSync(this.#file.fd, buffer, at, buffer.length - at, offsetBytes);
    } catch (cause) {
      const what = `${this.name} cannot be read at byte ${offsetBytes}: ${errnoOf(cause)}`;
      throw new UnderstudyError('IMAGE_DAMAGED', what, { cause });
    }
  }
}
