// Words and text that the thread which reads a stream shares with the main thread, which starts the stream's program.
// Not messages: the reading thread blocks, and has no event loop that could deliver them.
import { limits } from '../../base/mod.ts';

const MESSAGE_AT = 64;
const FIRST_AT = 4096;
/** Bytes from the front of a stream that the main thread may have taken, to see what they are. */
const FIRST_BYTES_MAX = limits.MIB;

/** Index of each shared word; all accesses are sequentially consistent (Atomics). */
const WORD = {
  /** Written by the reader: counts the streams that it asked for, the first one not counted; CLOSED in the end. */
  request: 0,
  /** Written by the main thread: the request that the running stream answers. Set last: fd and state belong to it. */
  generation: 1,
  /** Written by the main thread: the reading end of the pipe, or -1 when the program could not be started. */
  fd: 2,
  /** Written by the main thread: one of STREAM_STATE. */
  state: 3,
  /** Written by the main thread before the state: length of the message in bytes. */
  messageBytes: 4,
  /** Written by the main thread before the generation: bytes at FIRST_AT that come before those of the pipe. */
  firstBytes: 5,
  /** Written by the main thread: counts signs of life while nothing comes through the pipe. */
  stirs: 6,
} as const;

const CLOSED = -1;

export const STREAM_STATE = {
  running: 0,
  /** All is well: what came through the pipe is all, and right. */
  ended: 1,
  /** It is not: the message is a code of the registry, a blank, and what happened. */
  failed: 2,
} as const;

export type StreamState = (typeof STREAM_STATE)[keyof typeof STREAM_STATE];

export class StreamControl {
  readonly buffer: SharedArrayBuffer;
  readonly #words: Int32Array<SharedArrayBuffer>;

  constructor(buffer: SharedArrayBuffer = new SharedArrayBuffer(FIRST_AT + FIRST_BYTES_MAX)) {
    this.buffer = buffer;
    this.#words = new Int32Array(buffer, 0, MESSAGE_AT / 4);
  }

  /** Reader: asks for the stream from its start, and returns what `generation` will be then. */
  requestRestart(): number {
    const request = Atomics.add(this.#words, WORD.request, 1) + 1;
    Atomics.notify(this.#words, WORD.request);
    return request;
  }

  /** Either side: nothing more will be read. Idempotent. */
  requestClose(): void {
    Atomics.store(this.#words, WORD.request, CLOSED);
    Atomics.notify(this.#words, WORD.request);
  }

  /** Main thread: resolves with the request that follows `seen`, or null once the stream is no longer wanted. */
  async nextRequest(seen: number): Promise<number | null> {
    const waiting = Atomics.waitAsync(this.#words, WORD.request, seen);
    if (waiting.async) await waiting.value;
    const request = Atomics.load(this.#words, WORD.request);
    return request === CLOSED ? null : request;
  }

  publishStart(generation: number, fd: number, first: Uint8Array = new Uint8Array(0)): void {
    new Uint8Array(this.buffer, FIRST_AT).set(first);
    Atomics.store(this.#words, WORD.firstBytes, first.byteLength);
    Atomics.store(this.#words, WORD.fd, fd);
    Atomics.store(this.#words, WORD.state, STREAM_STATE.running);
    Atomics.store(this.#words, WORD.generation, generation);
    Atomics.notify(this.#words, WORD.generation);
  }

  publishEnd(state: StreamState, message: string): void {
    const room = new Uint8Array(this.buffer, MESSAGE_AT, FIRST_AT - MESSAGE_AT);
    const { written } = new TextEncoder().encodeInto(message, room);
    Atomics.store(this.#words, WORD.messageBytes, written);
    Atomics.store(this.#words, WORD.state, state);
    Atomics.notify(this.#words, WORD.state);
  }

  /** Main thread: it works, though nothing comes through the pipe. */
  stir(): void {
    Atomics.add(this.#words, WORD.stirs, 1);
  }

  /** Reader: another number whenever the main thread showed a sign of life. */
  get stirs(): number {
    return Atomics.load(this.#words, WORD.stirs);
  }

  /**
   * Reader: the pipe of that generation (-1: none could be made) and what comes before it; null when the time is over
   * first.
   */
  waitStart(generation: number, timeoutMs: number): { fd: number; first: Uint8Array } | null {
    const before = Atomics.load(this.#words, WORD.generation);
    if (before !== generation) Atomics.wait(this.#words, WORD.generation, before, timeoutMs);
    if (Atomics.load(this.#words, WORD.generation) !== generation) return null;
    const first = new Uint8Array(this.buffer, FIRST_AT, Atomics.load(this.#words, WORD.firstBytes)).slice();
    return { fd: Atomics.load(this.#words, WORD.fd), first };
  }

  /** Reader: how the program ended, or null when the time is over first. */
  waitEnd(timeoutMs: number): { state: StreamState; message: string } | null {
    Atomics.wait(this.#words, WORD.state, STREAM_STATE.running, timeoutMs);
    const state = Atomics.load(this.#words, WORD.state) as StreamState;
    if (state === STREAM_STATE.running) return null;
    const length = Atomics.load(this.#words, WORD.messageBytes);
    return { state, message: Buffer.from(new Uint8Array(this.buffer, MESSAGE_AT, length)).toString() };
  }
}
