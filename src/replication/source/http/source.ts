// A file on an HTTP server as bytes. The first answer says how it can be read: at any offset, where ranges are proved and a
// strong validator holds all of them together; else from the start to the end, as often as the server allows.
//
// What must hold: all bytes are of one moment of the file (a validator, a size or a digest that differs ends the reading),
// and an end that comes too early is never taken for the end.
import { assert, UnderstudyError } from '../../../base/mod.ts';
import type { ByteSource } from '../byte-source.ts';
import { fingerprintOf } from './answer.ts';
import { type Answer, discard } from './client.ts';
import { type Examined, examine } from './examine.ts';
import { errorOf } from './failure.ts';
import { type HttpSourceOptions, Requests } from './requests.ts';
import { type Begun, readStream } from './stream.ts';

export class HttpSource implements ByteSource {
  readonly uri: string;
  readonly fd = null;
  readonly sizeBytes: number | null;
  readonly access: 'random' | 'rewind';
  /** The first bytes: HTTP_HEAD_BYTES, or all where there are fewer. */
  readonly head: Uint8Array;
  /** The content coding that the server applies although it was asked not to; null for the file itself. */
  readonly coding: string | null;
  readonly #requests: Requests;
  /** The answer that the head came from, until it is read on. */
  #begun: Begun | null;
  #openings = 0;
  /** Readings that wait for the server now. */
  #waiting = 0;

  private constructor(requests: Requests, { head, begun }: Examined) {
    const { sizeBytes, coding } = requests.representation;
    this.uri = requests.uri;
    this.sizeBytes = sizeBytes;
    this.coding = coding;
    this.access = begun === null ? 'random' : 'rewind';
    this.head = head;
    this.#requests = requests;
    this.#begun = begun;
  }

  /** Asks the server. @throws what the server or the way to it makes of that: SOURCE_*, USAGE */
  static async connect(options: HttpSourceOptions): Promise<HttpSource> {
    const requests = await Requests.create(options);
    try {
      return new HttpSource(requests, await examine(requests));
    } catch (failure) {
      await requests.close();
      throw errorOf(failure);
    }
  }

  fingerprint(): string {
    return fingerprintOf(this.#requests.representation);
  }

  /** Fills `target` from `offsetBytes` on; only with access `random`, and within the file. Several at once may run. */
  async readInto(target: Uint8Array, offsetBytes: number): Promise<void> {
    assert(this.access === 'random', 'only what has ranges is read at an offset');
    const known = this.head.subarray(offsetBytes, offsetBytes + target.byteLength);
    target.set(known);
    let filled = known.byteLength;
    const patience = this.#requests.patience();
    while (filled < target.byteLength) {
      try {
        const answer = await this.#requests.range(offsetBytes + filled, offsetBytes + target.byteLength - 1);
        await this.#requests.fill(answer, target, filled, (bytes) => {
          filled += bytes;
          patience.progressed();
        });
      } catch (failure) {
        await patience.after(failure);
      }
    }
  }

  async readAt(offsetBytes: number, lengthBytes: number): Promise<Uint8Array> {
    const end = Math.min(offsetBytes + lengthBytes, this.sizeBytes ?? 0);
    const bytes = new Uint8Array(Math.max(0, end - offsetBytes));
    if (bytes.byteLength > 0) await this.readInto(bytes, offsetBytes);
    return bytes;
  }

  /** Whether a reading waits for the server, or for the time to ask it again. */
  get waiting(): boolean {
    return this.#waiting > 0;
  }

  async *open(): AsyncGenerator<Uint8Array> {
    this.#waiting += 1;
    try {
      for await (const bytes of this.#read()) {
        this.#waiting -= 1;
        try {
          yield bytes;
        } finally {
          this.#waiting += 1;
        }
      }
    } finally {
      this.#waiting -= 1;
    }
  }

  async *#read(): AsyncGenerator<Uint8Array> {
    this.#openings += 1;
    if (this.access === 'random') {
      yield this.head;
      yield* this.#ascending(this.head.byteLength);
      return;
    }
    const requests = this.#requests;
    const begun = this.#begun;
    this.#begun = null;
    const again = this.#openings > 1;
    const ask = (): Promise<Answer> => this.#whole(again);
    yield* readStream({ requests, ask }, begun);
  }

  /** To the end in one request, and in another from where that broke. */
  async *#ascending(from: number): AsyncGenerator<Uint8Array> {
    const requests = this.#requests;
    const end = this.sizeBytes ?? 0;
    const patience = requests.patience();
    let position = from;
    while (position < end) {
      let answer: Answer | null = null;
      try {
        answer = await requests.range(position, end - 1);
        for await (const chunk of answer.body as AsyncIterable<Uint8Array>) {
          if (position + chunk.byteLength > end) throw requests.lie('more bytes than it announces');
          position += chunk.byteLength;
          patience.progressed();
          yield chunk;
        }
        if (position < end) throw requests.lie('fewer bytes than it announces');
      } catch (cause) {
        await patience.after(requests.failureOf(cause));
      } finally {
        if (answer !== null) discard(answer);
      }
    }
  }

  /** The whole once more. A server that gave it once and refuses it now gives it once. */
  async #whole(again: boolean): Promise<Answer> {
    const answer = await this.#requests.get({});
    if (answer.status === 200) return answer;
    const failure = this.#requests.refusal(answer);
    if (failure.retry) throw failure;
    const why = again ? 'what a target still needs has gone by' : 'the connection broke before the end';
    throw new UnderstudyError(
      'SOURCE_NOT_REWINDABLE',
      `${this.uri} can be read only once, and ${why}: the server answers ${answer.status} to another request`,
      { cause: failure },
    );
  }

  async close(): Promise<void> {
    if (this.#begun !== null) discard(this.#begun.answer);
    this.#begun = null;
    await this.#requests.close();
  }
}
