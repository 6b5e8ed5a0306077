// The process inside the private network, as seen from outside of it.
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { Lan } from '../../guests/mod.ts';
import type { Command, LoadCommand, Message } from './inside.ts';

export interface Asked {
  readonly method?: string;
  readonly url: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  /** @default 30000 */
  readonly timeoutMs?: number;
  /** PEM of the authority that an https server is checked with. @default the system's */
  readonly ca?: string;
}

export type Sample = Extract<Message, { kind: 'sample' }>;

interface Waiting {
  readonly resolve: (answer: { status: number; body: string }) => void;
  readonly reject: (error: Error) => void;
}

export class Insider {
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, Waiting>();
  readonly #onSample: (sample: Sample) => void;
  #count = 0;

  /** @param program the compiled inside.js */
  constructor(lan: Lan, program: string, onSample: (sample: Sample) => void = () => undefined) {
    this.#onSample = onSample;
    this.#child = lan.spawn(process.execPath, [program], { stdio: ['pipe', 'pipe', 'inherit'] });
    if (this.#child.stdout === null) throw new Error('the process inside has no output');
    createInterface({ input: this.#child.stdout }).on('line', (line) => this.#take(JSON.parse(line) as Message));
    this.#child.on('close', () => this.#fail(new Error('the process inside has ended')));
    this.#child.stdin?.on('error', (error) => this.#fail(error));
  }

  /** One request from inside. A failure to get any answer rejects. */
  ask({
    method = 'GET',
    url,
    headers = {},
    body,
    timeoutMs = 30_000,
    ca,
  }: Asked): Promise<{ status: number; body: string }> {
    const id = ++this.#count;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#send({ kind: 'ask', id, method, url, headers, body: body ?? null, timeoutMs, ca: ca ?? null });
    });
  }

  /** So many clients from now on; 0: none. */
  load(load: Omit<LoadCommand, 'kind'>): void {
    this.#send({ kind: 'load', ...load });
  }

  async close(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const closed = once(this.#child, 'close');
    this.#child.stdin?.end();
    await closed;
  }

  #send(command: Command): void {
    this.#child.stdin?.write(`${JSON.stringify(command)}\n`);
  }

  #take(message: Message): void {
    if (message.kind === 'sample') {
      this.#onSample(message);
      return;
    }
    const waiting = this.#waiting.get(message.id);
    this.#waiting.delete(message.id);
    if (message.kind === 'answer') waiting?.resolve({ status: message.status, body: message.body });
    else waiting?.reject(new Error(message.error));
  }

  #fail(error: Error): void {
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
  }
}
