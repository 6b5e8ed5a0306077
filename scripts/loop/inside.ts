// A process inside the private network of the demo or of an end-to-end test: it plays the users of the service (a
// closed loop of clients) and asks whatever else is to be asked there. Commands come as lines of JSON on standard
// input, answers and samples go as lines of JSON to standard output; it ends with its standard input.
import { request as requestPlain } from 'node:http';
import { request as requestTls } from 'node:https';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { messageOf } from '../../src/base/mod.ts';

export interface AskCommand {
  readonly kind: 'ask';
  readonly id: number;
  readonly method: string;
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | null;
  readonly timeoutMs: number;
  /** PEM of the authority that an https server is checked with; null: the system's. */
  readonly ca: string | null;
}

/** So many clients from now on; each asks, waits for the answer, thinks, and asks again. */
export interface LoadCommand {
  readonly kind: 'load';
  readonly clients: number;
  readonly url: string;
  readonly thinkMs: number;
  readonly timeoutMs: number;
}

export type Command = AskCommand | LoadCommand;

export type Message =
  | { readonly kind: 'answer'; readonly id: number; readonly status: number; readonly body: string }
  | { readonly kind: 'failure'; readonly id: number; readonly error: string }
  /** Of one request of the load: when it ended, and how. Status 0: no answer. */
  | { readonly kind: 'sample'; readonly at: number; readonly milliseconds: number; readonly status: number };

const BODY_BYTES_MAX = 4 * 1024 * 1024;
const PAUSE_AFTER_FAILURE_MS = 200;

function say(message: Message): void {
  process.stdout.write(`${JSON.stringify(message)}\n`);
}

type Asked = Omit<AskCommand, 'kind' | 'id'>;

/** A connection of its own for each request, as the many users of a service have. */
function ask({ method, url, headers, body, timeoutMs, ca }: Asked): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    const signal = AbortSignal.timeout(timeoutMs);
    const request = url.startsWith('https:') ? requestTls : requestPlain;
    const trust = ca === null ? {} : { ca };
    const sent = request(url, { method, headers, agent: false, signal, ...trust }, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => {
        if (text.length < BODY_BYTES_MAX) text += chunk;
      });
      response.on('error', reject);
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body: text }));
    });
    sent.on('error', reject);
    sent.end(body ?? undefined);
  });
}

let load: LoadCommand | null = null;
let running = 0;

async function client(number: number): Promise<void> {
  running += 1;
  while (load !== null && number < load.clients) {
    const { url, timeoutMs, thinkMs } = load;
    const started = performance.now();
    let status = 0;
    try {
      ({ status } = await ask({ method: 'GET', url, headers: {}, body: null, timeoutMs, ca: null }));
    } catch {
      // No answer is what this sample says.
      await delay(PAUSE_AFTER_FAILURE_MS);
    }
    say({ kind: 'sample', at: Date.now(), milliseconds: performance.now() - started, status });
    await delay(thinkMs);
  }
  running -= 1;
}

async function answer(command: AskCommand): Promise<void> {
  try {
    const { status, body } = await ask(command);
    say({ kind: 'answer', id: command.id, status, body });
  } catch (error) {
    say({ kind: 'failure', id: command.id, error: messageOf(error) });
  }
}

const lines = createInterface({ input: process.stdin });
lines.on('line', (line) => {
  const command = JSON.parse(line) as Command;
  if (command.kind === 'ask') void answer(command);
  else {
    load = command;
    for (let number = running; number < command.clients; number += 1) void client(number);
  }
});
lines.on('close', () => process.exit(0));
