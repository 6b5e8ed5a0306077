// A real HAProxy of a test: a master and its worker, with a configuration in a folder of its own, Unix sockets in place
// of ports. It runs examples/haproxy.cfg, so what users copy is what the tests prove.
import type { ChildProcess } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { present, requireTool, spawnBound } from '../../src/base/mod.ts';
import { stateOf } from '../rig/processes.ts';
import { eventually } from '../rig/wait.ts';

export interface Answered {
  readonly status: number;
  /** The server that answered, or null when HAProxy itself did. */
  readonly server: string | null;
}

/** An answer that has begun. */
export interface OpenAnswer {
  readonly server: string;
  /** true: all of it came; false: it was cut. */
  readonly whole: Promise<boolean>;
}

export type Headers = Readonly<Record<string, string>>;

/** Texts in haproxy.cfg, and what stands there instead; FOLDER is the folder of this HAProxy. */
export type Changes = readonly (readonly [string, string])[];

/** Each has to be in the text, or the test would run something else than it thinks. */
function replaced(text: string, changes: Changes): string {
  return changes.reduce((result, [from, to]) => {
    if (!result.includes(from)) throw new Error(`"${from}" is not in haproxy.cfg`);
    return result.replaceAll(from, () => to);
  }, text);
}

export class Haproxy {
  readonly folder = mkdtempSync(join(tmpdir(), 'ust-haproxy-'));
  readonly admin = join(this.folder, 'admin.sock');
  readonly web = join(this.folder, 'web.sock');
  readonly config = join(this.folder, 'haproxy.cfg');
  #master: ChildProcess | null = null;
  #log = '';

  /** examples/haproxy.cfg with the lead at this address, checked more often, and other changes. */
  static example(lead: { readonly address: string; readonly port: number }, changes: Changes = []): Haproxy {
    const haproxy = new Haproxy();
    const text = replaced(readFileSync('examples/haproxy.cfg', 'utf8'), [
      ['/run/haproxy/understudy.sock', haproxy.admin],
      ['bind :80', `bind unix@${haproxy.web} mode 666`],
      ['server web1 10.20.0.11:80 check inter 1s', `server web1 ${lead.address}:${lead.port} check inter 100ms`],
      ...changes,
    ]);
    haproxy.write(text.replaceAll('FOLDER', haproxy.folder));
    return haproxy;
  }

  write(config: string): void {
    writeFileSync(this.config, config);
  }

  /** What HAProxy printed. */
  get log(): string {
    return this.#log;
  }

  /** Starts a master with a worker; resolves when the worker answers. */
  async start(options: readonly string[] = []): Promise<void> {
    const tool = requireTool('haproxy', 'haproxy');
    const before = await this.workerPid();
    const child = spawnBound(tool, ['-W', '-db', '-f', this.config, ...options], { stdio: ['ignore', 'pipe', 'pipe'] });
    for (const stream of [child.stdout, child.stderr]) {
      stream?.on('data', (text: Buffer) => {
        this.#log += text.toString();
      });
    }
    this.#master = child;
    await this.#otherWorkerThan(before, child);
  }

  /** What `systemctl reload haproxy` does: the master starts a new worker with the configuration as it is now. */
  async reload(): Promise<void> {
    const before = await this.workerPid();
    const master = present(this.#master, 'a running HAProxy');
    master.kill('SIGUSR2');
    await this.#otherWorkerThan(before, master);
    await this.#gone(before);
  }

  /** The way without a master: a new process tells the old one to finish (-sf). */
  async replace(): Promise<void> {
    const before = present(await this.workerPid(), 'a running HAProxy');
    const old = present(this.#master, 'a running HAProxy');
    await this.start(['-sf', `${before}`]);
    await this.#gone(before);
    old.kill('SIGTERM');
    await eventually('the old master has ended', () => old.exitCode !== null || old.signalCode !== null);
  }

  /** As a power cut would; it can be started again. */
  async kill(): Promise<void> {
    const worker = await this.workerPid();
    const master = this.#master;
    this.#master = null;
    if (master === null || master.exitCode !== null || master.signalCode !== null) return;
    master.kill('SIGKILL');
    if (worker !== null) {
      process.kill(worker, 'SIGCONT');
      process.kill(worker, 'SIGKILL');
    }
    await this.#gone(worker);
    await eventually('the master has ended', () => master.exitCode !== null || master.signalCode !== null);
  }

  /** Stops the worker where it is, so that it takes connections and answers nothing; or lets it go on. */
  async freeze(worker: number, frozen: boolean): Promise<void> {
    process.kill(worker, frozen ? 'SIGSTOP' : 'SIGCONT');
    await eventually('the signal has arrived', () => (stateOf(worker) === 'T') === frozen);
  }

  async stop(): Promise<void> {
    await this.kill();
    rmSync(this.folder, { recursive: true, force: true });
  }

  /** One line to the runtime socket; null when nobody answers. */
  ask(line: string, path = this.admin): Promise<string | null> {
    return new Promise((resolve) => {
      let text = '';
      const socket = connect({ path });
      socket.setTimeout(10_000, () => socket.destroy());
      socket.on('data', (part) => {
        text += part.toString();
      });
      // Whoever asks sees from the missing answer that the socket is not there.
      socket.on('error', () => resolve(null));
      socket.on('close', () => resolve(text === '' ? null : text));
      socket.write(`${line}\n`);
    });
  }

  /** Of the process that answers on the runtime socket. */
  async workerPid(): Promise<number | null> {
    const pid = /^Pid: (\d+)$/m.exec((await this.ask('show info')) ?? '')?.[1];
    return pid === undefined ? null : Number(pid);
  }

  /** One request of a user, on a connection of its own. */
  async request(method: string, path = '/', headers: Headers = {}): Promise<Answered> {
    const { status, server, whole } = await this.#send(method, path, headers);
    await whole;
    return { status, server };
  }

  /** A request to "/held": resolves when its answer has begun. */
  async open(method: string): Promise<OpenAnswer> {
    const { status, server, whole } = await this.#send(method, '/held', {});
    if (server === null) throw new Error(`nobody answers: ${status}`);
    return { server, whole };
  }

  #send(method: string, path: string, headers: Headers): Promise<Answered & { readonly whole: Promise<boolean> }> {
    return new Promise((resolve, reject) => {
      const sent = request({ socketPath: this.web, method, path, headers, agent: false }, (response) => {
        const whole = new Promise<boolean>((done) => {
          response.on('close', () => done(response.complete));
        });
        response.on('error', () => response.destroy());
        response.resume();
        const server = response.headers['x-server'];
        resolve({ status: response.statusCode ?? 0, server: typeof server === 'string' ? server : null, whole });
      });
      sent.on('error', reject);
      sent.end();
    });
  }

  async #otherWorkerThan(before: number | null, master: ChildProcess): Promise<void> {
    await eventually(
      () => `HAProxy answers; it said: ${this.#log}`,
      async () => {
        if (master.exitCode !== null || master.signalCode !== null) throw new Error(`HAProxy ended: ${this.#log}`);
        const now = await this.workerPid();
        return now !== null && now !== before;
      },
    );
  }

  async #gone(pid: number | null): Promise<void> {
    await eventually(
      () => `process ${pid} has ended`,
      () => pid === null || !existsSync(`/proc/${pid}`) || stateOf(pid) === 'Z',
    );
  }
}
