// The controller's side of the agent protocol for tests: a real HTTP server that can go away and come back at its place, and
// that keeps what it received by the protocol's rules.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import {
  type AgentProbe,
  type AgentSignal,
  type AgentVerdict,
  type Instruction,
  REPORT_BYTES_MAX,
  type Report,
  type VerdictChange,
} from '../../src/agent/mod.ts';

export interface ReceivedReport {
  readonly report: Report;
  readonly headers: IncomingMessage['headers'];
  readonly path: string;
  readonly bytes: number;
}

/** What a test does with a request instead of answering it as a controller does. */
export type Trick = (response: ServerResponse, report: Report) => void;

export class AgentController {
  /** Every report that arrived, also those that a trick answered. */
  readonly received: ReceivedReport[] = [];
  /** Changes by the protocol's rule: each number of a boot once. */
  readonly changes: VerdictChange[] = [];
  instruction: Instruction = { signals: [], probe: null, reportSeconds: 1 };
  token = 'the-token-of-web1';
  /** Set by a test; null: answers as a controller does. */
  trick: Trick | null = null;
  /** Requests that are being answered, and the most there were at once. */
  open = 0;
  openMost = 0;
  readonly #lastNumbers = new Map<string, number>();
  #server: Server | null = null;
  #port = 0;

  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  get last(): Report | undefined {
    return this.received.at(-1)?.report;
  }

  /**
   * The verdicts of the changes, without the moments of which nothing was known: a busy machine can keep an agent from measuring.
   * The same verdict on both sides of such a moment counts once. Failing is degraded and more, and comes sooner or later.
   */
  get verdicts(): AgentVerdict[] {
    const known = this.changes
      .map(({ verdict }) => (verdict === 'failing' ? 'degraded' : verdict))
      .filter((verdict) => verdict !== 'unknown');
    return known.filter((verdict, index) => verdict !== known[index - 1]);
  }

  /** One objective, or none. */
  watch(objective: AgentObjective | null, probe: AgentProbe | null = null, reportSeconds = 1): void {
    this.instruction = { signals: objective === null ? [] : [signalOf(objective)], probe, reportSeconds };
  }

  /** Begins to listen, after the first time at the same port. */
  async up(): Promise<void> {
    const server = createServer((request, response) => this.#receive(request, response));
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(this.#port, '127.0.0.1', resolve);
    });
    this.#port = (server.address() as AddressInfo).port;
    this.#server = server;
  }

  /** Cuts all connections and stops listening. */
  async down(): Promise<void> {
    const server = this.#server;
    this.#server = null;
    if (server === null) return;
    const closed = new Promise((resolve) => server.close(resolve));
    server.closeAllConnections();
    await closed;
  }

  #receive(request: IncomingMessage, response: ServerResponse): void {
    this.open += 1;
    this.openMost = Math.max(this.openMost, this.open);
    response.on('close', () => {
      this.open -= 1;
    });
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => this.#answer(request, Buffer.concat(chunks), response));
  }

  #answer(request: IncomingMessage, body: Buffer, response: ServerResponse): void {
    const report = JSON.parse(body.toString()) as Report;
    this.received.push({ report, headers: request.headers, path: request.url ?? '', bytes: body.length });
    if (this.trick !== null) this.trick(response, report);
    else if (body.length > REPORT_BYTES_MAX) reply(response, 413, {});
    else if (request.headers.authorization !== `Bearer ${this.token}`) reply(response, 401, {});
    else this.agree(response, report);
  }

  /** Takes the report and answers as a controller does; for tricks that do it later. */
  agree(response: ServerResponse, report: Report): void {
    this.accept(report);
    reply(response, 200, this.instruction);
  }

  accept(report: Report): void {
    const last = this.#lastNumbers.get(report.boot) ?? 0;
    const fresh = report.changes.filter(({ number }) => number > last);
    this.changes.push(...fresh);
    this.#lastNumbers.set(report.boot, Math.max(last, fresh.at(-1)?.number ?? 0));
  }
}

/** An objective with the name of its signal. */
export type AgentObjective = NonNullable<AgentSignal['objective']> & { readonly signal: string };

export function signalOf({ signal, ...objective }: AgentObjective): AgentSignal {
  return { name: signal, objective, baseline: null, outside: false };
}

export function reply(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}
