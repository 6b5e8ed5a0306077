// Bytes to the server, and what comes back: whole answers, or the end of the connection.
import { connect, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { patience } from '../../rig/patience.ts';
import { Finding } from '../fuzz.ts';
import type { Sent } from './requests.ts';

export interface Answer {
  readonly status: number;
  readonly headers: ReadonlyMap<string, string>;
  readonly body: string;
  /** Goes on for as long as the client stays. */
  readonly stream: boolean;
}

export interface Reply {
  readonly answers: readonly Answer[];
  /** Before we closed it. */
  readonly closed: boolean;
}

/** What is whole is answered within this; what is not is ended by us after a moment. */
const ANSWER_MS_MAX = patience(60_000);
const QUIET_MS = 150;
const END_MS_MAX = patience(30_000);

/** Each client has an address of its own on loopback, so that limits for an address do not make one of them all. */
export interface Place {
  readonly port: number;
  /** 0 and up. */
  readonly client: number;
}

function localAddress(client: number): string {
  return `127.0.${1 + (Math.floor(client / 250) % 250)}.${2 + (client % 250)}`;
}

/** Sends the pieces and collects what comes. @throws Finding for silence, and for what is not HTTP */
export async function exchange({ port, client }: Place, sent: Sent): Promise<Reply> {
  const socket = connect({ host: '127.0.0.1', port, localAddress: localAddress(client), allowHalfOpen: true });
  const collected = new Collected(socket, sent.bodiless);
  try {
    await write(socket, sent);
    const whole = (): boolean => collected.answers().length >= sent.count || collected.streams();
    if (sent.framed) await collected.until(whole, ANSWER_MS_MAX, () => `no answer to ${sent.what}`);
    else await quiet(collected, whole);
    if (!collected.closed && !whole()) {
      socket.end();
      // Behind answers that take long a stream begins later than we look, and goes on for as long as we read.
      await collected.until(
        () => collected.streams(),
        END_MS_MAX,
        () => `the connection stays open after ${sent.what}`,
      );
    }
    return { answers: collected.answers(), closed: collected.closed };
  } finally {
    socket.destroy();
  }
}

async function write(socket: Socket, { pieces }: Sent): Promise<void> {
  for (const piece of pieces) {
    if (socket.destroyed) return;
    socket.write(piece);
    // Another segment of TCP.
    if (pieces.length > 1) await delay(1);
  }
}

async function quiet(collected: Collected, whole: () => boolean): Promise<void> {
  for (let before = -1; before !== collected.received && !whole() && !collected.closed; ) {
    before = collected.received;
    await delay(QUIET_MS);
  }
}

/** Answers are parsed as they come. */
class Collected {
  closed = false;
  received = 0;
  #rest: Buffer = Buffer.alloc(0);
  readonly #whole: Answer[] = [];
  #streams = false;
  #wake: () => void = () => undefined;

  readonly #bodiless: boolean;

  constructor(socket: Socket, bodiless: boolean) {
    this.#bodiless = bodiless;
    socket.setNoDelay(true);
    socket.on('data', (bytes: Buffer) => {
      this.received += bytes.length;
      this.#rest = Buffer.concat([this.#rest, bytes]);
      this.#parse();
      this.#wake();
    });
    // A connection that is reset is closed as well.
    socket.on('error', () => undefined);
    for (const event of ['end', 'close']) {
      socket.on(event, () => {
        this.closed = true;
        this.#parse();
        this.#wake();
      });
    }
  }

  answers(): readonly Answer[] {
    return this.#whole;
  }

  streams(): boolean {
    return this.#streams;
  }

  /** Until that is so, or the server has closed. @throws Finding */
  async until(done: () => boolean, msMax: number, what: () => string): Promise<void> {
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      this.#wake();
    }, msMax);
    try {
      while (!done() && !this.closed) {
        if (late) throw new Finding(`${what()}, within ${msMax} ms; ${this.received} bytes came`);
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    } finally {
      clearTimeout(timer);
    }
  }

  #parse(): void {
    for (;;) {
      const parsed = parseAnswer(this.#rest, this.closed, this.#bodiless);
      if (parsed === null) return;
      this.#rest = this.#rest.subarray(parsed.bytes);
      // 100 Continue announces an answer.
      if (parsed.answer.status >= 200) this.#whole.push(parsed.answer);
      if (parsed.answer.stream) this.#streams = true;
    }
  }
}

/** The first answer of these bytes; null: not whole. @throws Error for what is not HTTP */
export function parseAnswer(
  bytes: Buffer,
  closed: boolean,
  bodiless: boolean,
): { answer: Answer; bytes: number } | null {
  const headEnd = bytes.indexOf('\r\n\r\n');
  if (headEnd < 0) return null;
  const [line = '', ...lines] = bytes.subarray(0, headEnd).toString('latin1').split('\r\n');
  const status = Number(/^HTTP\/1\.1 (\d{3}) [ -~]*$/.exec(line)?.[1] ?? 0);
  const headers = new Map(
    lines.map((one) => {
      const at = one.indexOf(':');
      return [one.slice(0, at).toLowerCase(), one.slice(at + 1).trim()] as const;
    }),
  );
  const from = headEnd + 4;
  const made = (body: string, end: number, stream = false) => ({
    answer: { status, headers, body, stream },
    bytes: end,
  });
  if (bodiless || status < 200 || status === 204 || status === 304) return made('', from);
  if (headers.get('content-type')?.startsWith('text/event-stream')) return made('', bytes.length, true);
  const length = headers.get('content-length');
  if (length !== undefined) {
    const end = from + Number(length);
    if (bytes.length >= end) return made(bytes.subarray(from, end).toString(), end);
    return null;
  }
  if (headers.get('transfer-encoding') === 'chunked') return chunked(bytes, from, made);
  return closed ? made(bytes.subarray(from).toString(), bytes.length) : null;
}

type Made = (body: string, end: number) => { answer: Answer; bytes: number };

function chunked(bytes: Buffer, from: number, made: Made): { answer: Answer; bytes: number } | null {
  const parts: Buffer[] = [];
  for (let at = from; ; ) {
    const lineEnd = bytes.indexOf('\r\n', at);
    if (lineEnd < 0) return null;
    const size = Number.parseInt(bytes.subarray(at, lineEnd).toString(), 16);
    const start = lineEnd + 2;
    if (bytes.length < start + size + 2) return null;
    if (size === 0) return made(Buffer.concat(parts).toString(), start + 2);
    parts.push(bytes.subarray(start, start + size));
    at = start + size + 2;
  }
}
