// What is attacked: a process with the interface, and what is known of it from outside.
import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { markedProcesses } from '../../rig/processes.ts';
import { eventually } from '../../rig/wait.ts';
import { WIKI_SERVICE } from '../../support/wiki-service.ts';
import { Finding } from '../fuzz.ts';
import type { Route, Table } from './requests.ts';
import type { Schema, Schemas } from './shapes.ts';

const DIST = fileURLToPath(new URL('../../../dist/', import.meta.url));
const MIB = 1024 * 1024;

export class Subject {
  readonly folder = mkdtempSync(join(tmpdir(), 'understudy-api-fuzz-'));
  readonly tokens = { viewer: token(), operator: token(), agent: token() };
  readonly #mark = `UNDERSTUDY_API_SUBJECT=${randomBytes(8).toString('hex')}`;
  #child: ChildProcess | null = null;
  #said = '';
  url = '';

  private constructor() {
    mkdirSync(join(this.folder, 'secrets'));
    const { viewer, operator, agent } = this.tokens;
    const secret = (name: string, text: string): void =>
      writeFileSync(join(this.folder, 'secrets', name), text, { mode: 0o600 });
    secret('tokens', `operator alice ${operator}\nviewer grafana ${viewer}\n`);
    secret('web1', agent);
    for (const name of ['web1.img', 'spare1.img']) {
      writeFileSync(join(this.folder, name), '');
      truncateSync(join(this.folder, name), MIB);
    }
    writeFileSync(join(this.folder, 'understudy.yaml'), CONFIGURATION);
  }

  /** `understudy up` as people start it. */
  static async up(): Promise<Subject> {
    const file = (subject: Subject): string => join(subject.folder, 'understudy.yaml');
    return Subject.start((subject) => ['run/cli/understudy.js', 'up', '--json', '-f', file(subject)]);
  }

  /** The interface in front of a controller with this defect (planted.ts). */
  static async planted(defect: string): Promise<Subject> {
    return Subject.start((subject) => ['test/fuzz/api/planted.js', subject.folder, defect]);
  }

  private static async start(program: (subject: Subject) => readonly string[]): Promise<Subject> {
    const subject = new Subject();
    const [file = '', ...args] = program(subject);
    const [name = '', value = ''] = subject.#mark.split('=');
    const child = spawn(process.execPath, [join(DIST, file), ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, [name]: value },
    });
    subject.#child = child;
    child.stderr.on('data', (bytes: Buffer) => {
      subject.#said = `${subject.#said}${bytes.toString()}`.slice(-4000);
    });
    const line = await createInterface({ input: child.stdout })[Symbol.asyncIterator]().next();
    if (line.done === true) {
      await subject.stop();
      throw new Error(`the program ended at its start: ${subject.#said}`);
    }
    subject.url = (JSON.parse(line.value) as { url: string }).url;
    return subject;
  }

  get port(): number {
    return Number(new URL(this.url).port);
  }

  /** @throws Finding when it has ended */
  checkAlive(): void {
    const { exitCode = null, signalCode = null } = this.#child ?? {};
    if (exitCode === null && signalCode === null) return;
    throw new Finding(`the process ended with ${exitCode ?? signalCode}: ${this.#said}`);
  }

  /** Resident memory, bytes. */
  memoryBytes(): number {
    const status = readFileSync(`/proc/${this.#child?.pid}/status`, 'utf8');
    return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0) * 1024;
  }

  /** Of the description that it gives itself. */
  async table(): Promise<Table> {
    const description = (await (await fetch(`${this.url}/openapi.json`)).json()) as Description;
    const routes = Object.entries(description.paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, operation]) => routeOf(method.toUpperCase(), path, operation)),
    );
    const open: Route = { method: 'GET', path: '/openapi.json', access: 'none', body: null, query: [] };
    return { routes: [...routes, open], schemas: description.components.schemas, tokens: this.tokens, host: 'web1' };
  }

  /** What an operator sees: names of services and hosts, and engagements. */
  async status(): Promise<string> {
    const headers = { authorization: `Bearer ${this.tokens.operator}` };
    const response = await fetch(`${this.url}/v1/status`, { headers });
    const view = (await response.json()) as Record<string, readonly { readonly name: string }[]>;
    return JSON.stringify(['services', 'hosts', 'engagements'].map((kind) => view[kind]?.map(({ name }) => name)));
  }

  /** Ends what it started too: the storage daemon outlives its controller. */
  async stop(): Promise<void> {
    const child = this.#child;
    if (child !== null && child.exitCode === null && child.signalCode === null) {
      const gone = once(child, 'exit');
      child.kill('SIGKILL');
      await gone;
    }
    await eventually('the processes of the subject are gone', () => {
      const left = markedProcesses(this.#mark);
      for (const { pid } of left) process.kill(pid, 'SIGKILL');
      return left.length === 0;
    });
    rmSync(this.folder, { recursive: true, force: true });
  }
}

interface Operation {
  readonly parameters?: readonly { readonly name: string; readonly in: string; readonly schema: Schema }[];
  readonly description?: string;
  readonly requestBody?: { readonly content: Readonly<Record<string, { readonly schema: Schema }>> };
}

interface Description {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: { readonly schemas: Schemas };
}

function routeOf(method: string, path: string, { description = '', requestBody, parameters = [] }: Operation): Route {
  const access = (['viewer', 'operator', 'agent'] as const).find((role) => description.includes(role)) ?? 'none';
  const query = parameters.filter((one) => one.in === 'query');
  return { method, path, access, body: requestBody?.content['application/json']?.schema ?? null, query };
}

function token(): string {
  return randomBytes(32).toString('hex');
}

/** Hosts that nothing reaches beyond this machine. */
const CONFIGURATION = `state: state
api: { host: 127.0.0.1, port: 0, tokensFile: secrets/tokens }
volumes:
  web1: { path: web1.img }
  spare1: { path: spare1.img }
hosts:
  web1:
    volume: web1
    agentTokenFile: secrets/web1
    interfaces: [{ name: eth0, mac: "52:54:00:90:00:11", addresses: [127.88.0.11/24] }]
    power: { driver: qemu, settings: { interfaces: [] } }
  spare1:
    volume: spare1
    interfaces: [{ name: eth0, mac: "52:54:00:90:00:21", addresses: [127.88.0.21/24] }]
    power: { driver: qemu, settings: { interfaces: [] } }
${WIKI_SERVICE}`;
