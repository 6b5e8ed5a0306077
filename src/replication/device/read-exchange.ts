// Shared memory through which a thread that blocks has reads done by the main thread, which has the event loop that network
// clients need. A few slots: each is a request, then its answer with the bytes.
import { assert, type ErrorCode, isErrorCode, limits, UnderstudyError } from '../../base/mod.ts';

/** Bytes of one read; longer transfers are several. */
export const SLOT_BYTES = limits.HTTP_PIECE_BYTES;
export const SLOTS = limits.READS_IN_FLIGHT;

const HEADER_BYTES = limits.PAGE_BYTES;
const WORDS_AT_SLOT = 16;
const WORDS_PER_SLOT = 8;

/** Index of each shared word; all accesses are sequentially consistent (Atomics). */
const WORD = {
  /** Counts requests, by the reader; CLOSED in the end. */
  requests: 0,
  /** Counts answers, by the main thread. */
  answers: 1,
} as const;

const CLOSED = -1;

/** Words of a slot. */
const SLOT_WORD = { state: 0, lengthBytes: 1, offsetLow: 2, offsetHigh: 3 } as const;

const STATE = { free: 0, wanted: 1, taken: 2, done: 3, failed: 4 } as const;

export interface ReadRequest {
  readonly slot: number;
  readonly offsetBytes: number;
  /** To be filled. */
  readonly target: Uint8Array;
}

export class ReadExchange {
  readonly buffer: SharedArrayBuffer;
  readonly #words: Int32Array<SharedArrayBuffer>;

  constructor(buffer: SharedArrayBuffer = new SharedArrayBuffer(HEADER_BYTES + SLOTS * SLOT_BYTES)) {
    this.buffer = buffer;
    this.#words = new Int32Array(buffer, 0, HEADER_BYTES / 4);
  }

  #word(slot: number, word: keyof typeof SLOT_WORD): number {
    return WORDS_AT_SLOT + slot * WORDS_PER_SLOT + SLOT_WORD[word];
  }

  #state(slot: number): number {
    return Atomics.load(this.#words, this.#word(slot, 'state'));
  }

  #data(slot: number, lengthBytes: number): Uint8Array {
    return new Uint8Array(this.buffer, HEADER_BYTES + slot * SLOT_BYTES, lengthBytes);
  }

  // The reader -------------------------------------------------------------------------------------------------------

  /** Asks for a range; the slot, or null while all are in use. */
  request(offsetBytes: number, lengthBytes: number): number | null {
    assert(lengthBytes > 0 && lengthBytes <= SLOT_BYTES, 'a read fits into a slot');
    for (let slot = 0; slot < SLOTS; slot++) {
      if (this.#state(slot) !== STATE.free) continue;
      Atomics.store(this.#words, this.#word(slot, 'lengthBytes'), lengthBytes);
      Atomics.store(this.#words, this.#word(slot, 'offsetLow'), offsetBytes % 2 ** 31);
      Atomics.store(this.#words, this.#word(slot, 'offsetHigh'), Math.floor(offsetBytes / 2 ** 31));
      Atomics.store(this.#words, this.#word(slot, 'state'), STATE.wanted);
      Atomics.add(this.#words, WORD.requests, 1);
      Atomics.notify(this.#words, WORD.requests);
      return slot;
    }
    return null;
  }

  /** Answers so far, for `waitAnswer`. */
  get answers(): number {
    return Atomics.load(this.#words, WORD.answers);
  }

  /** Blocks until there are more answers than `seen`, or the time is over. */
  waitAnswer(seen: number, timeoutMs: number): void {
    Atomics.wait(this.#words, WORD.answers, seen, timeoutMs);
  }

  /** Takes the answer to a request, which frees its slot: the bytes copied into `target`, or why there are none; null before. */
  take(slot: number, target: Uint8Array): { readonly error: UnderstudyError | null } | null {
    const state = this.#state(slot);
    if (state !== STATE.done && state !== STATE.failed) return null;
    const lengthBytes = Atomics.load(this.#words, this.#word(slot, 'lengthBytes'));
    const data = this.#data(slot, lengthBytes);
    let error: UnderstudyError | null = null;
    if (state === STATE.done) target.set(data);
    else error = errorOf(Buffer.from(data.slice()).toString());
    Atomics.store(this.#words, this.#word(slot, 'state'), STATE.free);
    return { error };
  }

  /** Nothing more will be read. Idempotent. */
  requestClose(): void {
    Atomics.store(this.#words, WORD.requests, CLOSED);
    Atomics.notify(this.#words, WORD.requests);
  }

  // The main thread --------------------------------------------------------------------------------------------------

  /** Resolves with the requests that nobody works on yet, one at least; null once nothing is wanted any more. */
  async nextRequests(): Promise<readonly ReadRequest[] | null> {
    for (;;) {
      const seen = Atomics.load(this.#words, WORD.requests);
      if (seen === CLOSED) return null;
      const wanted = this.#takeWanted();
      if (wanted.length > 0) return wanted;
      const waiting = Atomics.waitAsync(this.#words, WORD.requests, seen);
      if (waiting.async) await waiting.value;
    }
  }

  #takeWanted(): readonly ReadRequest[] {
    const requests: ReadRequest[] = [];
    for (let slot = 0; slot < SLOTS; slot++) {
      if (this.#state(slot) !== STATE.wanted) continue;
      Atomics.store(this.#words, this.#word(slot, 'state'), STATE.taken);
      const low = Atomics.load(this.#words, this.#word(slot, 'offsetLow'));
      const high = Atomics.load(this.#words, this.#word(slot, 'offsetHigh'));
      const target = this.#data(slot, Atomics.load(this.#words, this.#word(slot, 'lengthBytes')));
      requests.push({ slot, offsetBytes: high * 2 ** 31 + low, target });
    }
    return requests;
  }

  answer({ slot }: ReadRequest): void {
    this.#finish(slot, STATE.done);
  }

  answerFailure({ slot }: ReadRequest, code: ErrorCode, message: string): void {
    const { written } = new TextEncoder().encodeInto(`${code} ${message}`, this.#data(slot, limits.PAGE_BYTES));
    Atomics.store(this.#words, this.#word(slot, 'lengthBytes'), written);
    this.#finish(slot, STATE.failed);
  }

  #finish(slot: number, state: number): void {
    Atomics.store(this.#words, this.#word(slot, 'state'), state);
    Atomics.add(this.#words, WORD.answers, 1);
    Atomics.notify(this.#words, WORD.answers);
  }
}

/** "CODE message", as errors travel between threads. */
export function errorOf(text: string): UnderstudyError {
  const space = text.indexOf(' ');
  const code = text.slice(0, space);
  assert(isErrorCode(code), 'a failure is told by its code');
  return new UnderstudyError(code, text.slice(space + 1));
}

/** A text that one thread leaves for another, once: 32 bits of length, then so many bytes. */
export function writeNote(buffer: SharedArrayBuffer, text: string): void {
  const words = new Int32Array(buffer, 0, 1);
  if (Atomics.load(words, 0) !== 0) return;
  const { written } = new TextEncoder().encodeInto(text, new Uint8Array(buffer, 4));
  Atomics.store(words, 0, written);
}

/** '' while there is none. */
export function readNote(buffer: SharedArrayBuffer): string {
  const length = Atomics.load(new Int32Array(buffer, 0, 1), 0);
  return Buffer.from(new Uint8Array(buffer, 4, length).slice()).toString();
}
