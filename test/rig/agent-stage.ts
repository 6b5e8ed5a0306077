// Everything around an agent under test: a folder with its settings and a proc of its own, a controller, a service, and the
// processes; all of it ends with the stage.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { AgentController } from './agent-controller.ts';
import { eventually } from './wait.ts';

export const AGENT = resolve('dist/run/agent/agent.js');

/** Program and arguments that run the bundle; the default is the Node.js of the tests. */
export type Runtime = (script: string) => readonly [string, ...string[]];
export const ownNode: Runtime = (script) => [process.execPath, script];

export class AgentProcess {
  readonly child: ChildProcess;
  readonly ended: Promise<{ status: number | null; signal: NodeJS.Signals | null }>;
  stdout = '';
  stderr = '';

  constructor(command: readonly [string, ...string[]], env: NodeJS.ProcessEnv) {
    const [program, ...args] = command;
    this.child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], env });
    this.child.stdout?.on('data', (text: Buffer) => {
      this.stdout += text.toString();
    });
    this.child.stderr?.on('data', (text: Buffer) => {
      this.stderr += text.toString();
    });
    this.ended = once(this.child, 'close').then(([status, signal]) => ({ status, signal }));
  }

  get running(): boolean {
    return this.child.exitCode === null && this.child.signalCode === null;
  }

  /** Ends it with a signal, waits until it has, and gives how it ended. */
  async end(signal: NodeJS.Signals): Promise<{ status: number | null; signal: NodeJS.Signals | null }> {
    if (this.running) this.child.kill(signal);
    return this.ended;
  }
}

export class AgentStage {
  readonly folder = mkdtempSync(join(tmpdir(), 'understudy-agent-'));
  readonly controller = new AgentController();
  readonly #runtime: Runtime;
  readonly #undo: (() => Promise<unknown> | undefined)[] = [];

  private constructor(runtime: Runtime) {
    this.#runtime = runtime;
  }

  static async open(runtime: Runtime = ownNode): Promise<AgentStage> {
    const stage = new AgentStage(runtime);
    await stage.controller.up();
    stage.later(() => stage.controller.down());
    return stage;
  }

  later(undo: () => Promise<unknown> | undefined): void {
    this.#undo.push(undo);
  }

  async close(): Promise<void> {
    try {
      for (const undo of this.#undo.reverse()) await undo();
    } finally {
      rmSync(this.folder, { recursive: true, force: true });
    }
  }

  /** Writes a file of the stage's folder whole, as seen by a reader, with the rights of a secret. */
  write(name: string, text: string): string {
    const path = join(this.folder, name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(`${path}.new`, text, { mode: 0o600 });
    renameSync(`${path}.new`, path);
    return path;
  }

  settings(fields: Readonly<Record<string, unknown>> = {}): string {
    const all = { host: 'web1', controller: this.controller.url, token: this.controller.token, ...fields };
    return this.write('agent.json', JSON.stringify(all));
  }

  /** A proc folder that says what the test wants; "cpu.pressureAvg10" is what it is told. */
  proc(cpuAvg10: number): string {
    const line = (avg10: number): string => `avg10=${avg10.toFixed(2)} avg60=0.00 avg300=0.00 total=1000\n`;
    const text = `some ${line(cpuAvg10)}full ${line(0)}`;
    this.write('proc/pressure/cpu', text);
    this.write('proc/pressure/memory', text);
    this.write('proc/pressure/io', text);
    this.write('proc/loadavg', '0.27 1.01 0.66 3/101 23411\n');
    this.write('proc/stat', 'cpu  1 2 3\ncpu0 1 2 3\ncpu1 1 2 3\nintr 1\n');
    this.write(
      'proc/meminfo',
      'MemTotal:       24684100 kB\nMemFree:        23031132 kB\nMemAvailable:   12342050 kB\n',
    );
    return join(this.folder, 'proc');
  }

  /** The bundle with these arguments, or with a settings file for this stage's controller. */
  agent(...args: readonly string[]): AgentProcess {
    return this.process(this.#runtime(AGENT), args);
  }

  process(command: readonly [string, ...string[]], args: readonly string[]): AgentProcess {
    const agent = new AgentProcess([...command, ...args], process.env);
    this.later(() => agent.end('SIGKILL'));
    return agent;
  }

  /** An agent whose verdict the proc folder decides, once it has become healthy. */
  async healthyAgent(reportSeconds = 1): Promise<AgentProcess> {
    const proc = this.proc(0);
    this.controller.watch(PRESSURE_OBJECTIVE, null, reportSeconds);
    const agent = this.agent('--config', this.settings(), '--proc', proc);
    await eventually(
      () => `a healthy verdict; said ${agent.stderr}`,
      () => this.controller.verdicts.at(-1) === 'healthy',
    );
    return agent;
  }

  /** A service for users, at "/" of the URL. */
  async service(listener: RequestListener): Promise<string> {
    const server = createServer(listener);
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
    this.later(async () => {
      server.closeAllConnections();
      await new Promise((done) => server.close(done));
    });
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  }
}

/** A verdict within seconds, from a signal that the stage's proc folder decides. */
export const PRESSURE_OBJECTIVE = {
  signal: 'cpu.pressureAvg10',
  below: 40,
  fastSeconds: 6,
  slowSeconds: 6,
  share: 0.4,
};

/** A test with a stage of its own, so that tests can run beside each other: they mostly wait. */
export function onStage(body: (stage: AgentStage) => Promise<void>, runtime: Runtime = ownNode): () => Promise<void> {
  return async () => {
    const stage = await AgentStage.open(runtime);
    try {
      await body(stage);
    } finally {
      await stage.close();
    }
  };
}
