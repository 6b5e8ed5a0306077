// The stage of the demo and of the end-to-end tests: a private network, HAProxy, guests with their volumes,
// understudy.yaml, and `understudy up`. Nothing of it is outside of its folder and its network namespaces, and all of
// it is gone after close().
import { type ChildProcess, spawn } from 'node:child_process';
import { chmodSync, closeSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Lan, makeVolume } from '../../guests/mod.ts';
import { requireTool, runTool } from '../../src/base/mod.ts';
import { type Asked, Insider, type Sample } from './insider.ts';
import { configurationOf, haproxyConfiguration, STAGE_NODE, type StageFiles } from './stage-files.ts';

/** `folder`: empty and short, for sockets lie in it. Of `hosts` the first is the lead. */
export interface StageOptions extends Omit<StageFiles, 'subnet'> {
  /** Compiled programs: understudy.js, inside.js, agent.js. */
  readonly program: string;
  readonly inside: string;
  readonly agent: string;
  readonly onSample?: (sample: Sample) => void;
}

/** The first three parts of the guests' addresses. */
export const SUBNET = '10.90.0';
const API_PORT = 7780;
/** Of a network that nobody else can reach. */
const OPERATOR_TOKEN = 'stage-operator-0123456789abcdef';
const CLI_TIMEOUT_MS = 600_000;

export class Stage {
  readonly lan: Lan;
  readonly insider: Insider;
  readonly folder: string;
  readonly #options: StageOptions;
  #haproxy: ChildProcess | null = null;
  #controller: ChildProcess | null = null;

  private constructor(options: StageOptions, lan: Lan) {
    this.#options = options;
    this.lan = lan;
    this.folder = options.folder;
    this.insider = new Insider(lan, options.inside, options.onSample);
  }

  static async make(options: StageOptions): Promise<Stage> {
    const taps = options.hosts.map(({ name }) => `tap-${name}`);
    const lan = await Lan.make({ subnet: SUBNET, taps });
    const stage = new Stage(options, lan);
    try {
      await stage.#write();
      await stage.startDirector();
      return stage;
    } catch (error) {
      await stage.close();
      throw error;
    }
  }

  get site(): string {
    return `http://${SUBNET}.1`;
  }

  get configuration(): string {
    return join(this.folder, 'understudy.yaml');
  }

  /** The raw file of a host's volume. */
  volume(host: string): string {
    return join(this.folder, `${host}.img`);
  }

  async #write(): Promise<void> {
    const { folder, hosts } = this.#options;
    mkdirSync(join(folder, 'secrets'), { mode: 0o700 });
    await this.#pki('init');
    await this.#pki('issue', 'node', STAGE_NODE, '--address', `${SUBNET}.1`);
    const controller = `https://${SUBNET}.1:${API_PORT}`;
    for (const { name, image, token } of hosts) {
      await this.#pki('issue', 'host', name);
      const [cert, key] = ['crt', 'key'].map((end) => this.log(`pki/host-${name}.${end}`));
      const settings = { host: name, controller, ca: this.authority, cert: cert ?? '', key: key ?? '' };
      await makeVolume(image, this.volume(name), { bundle: this.#options.agent, settings });
      this.#secret(`secrets/${name}`, token);
    }
    this.#secret('secrets/tokens', `operator stage ${OPERATOR_TOKEN}`);
    this.#secret('secrets/operator', OPERATOR_TOKEN);
    this.configure({});
    writeFileSync(join(folder, 'haproxy.cfg'), haproxyConfiguration({ ...this.#options, subnet: SUBNET }));
  }

  /** PEM of the authority of the stage. */
  get authority(): string {
    return this.log('pki/ca.crt');
  }

  async #pki(...args: readonly string[]): Promise<void> {
    const command = [this.#options.program, 'pki', ...args, '--folder', join(this.folder, 'pki')];
    const { status, stderr } = await runTool(process.execPath, command);
    if (status !== 0) throw new Error(`understudy pki ${args.join(' ')}: ${stderr}`);
  }

  /** Writes understudy.yaml anew; it counts from the next start of the controller. */
  configure(
    change: Partial<
      Pick<StageOptions, 'hosts' | 'identity' | 'mode' | 'objectiveMs' | 'portion' | 'storage' | 'timeouts'>
    >,
  ): void {
    const files = { ...this.#options, ...change, subnet: SUBNET, apiPort: API_PORT };
    writeFileSync(this.configuration, configurationOf(files));
  }

  #secret(name: string, text: string): void {
    const path = join(this.folder, name);
    writeFileSync(path, `${text}\n`, { mode: 0o600 });
    chmodSync(path, 0o600);
  }

  async startDirector(): Promise<void> {
    const haproxy = requireTool('haproxy', 'haproxy');
    const log = openSync(join(this.folder, 'haproxy.log'), 'a');
    this.#haproxy = this.lan.spawn(haproxy, ['-W', '-db', '-f', join(this.folder, 'haproxy.cfg')], {
      stdio: ['ignore', log, log],
    });
    closeSync(log);
    await this.until('HAProxy answers', async () => (await this.insider.ask({ url: `${this.site}/` })).status > 0);
  }

  async stopDirector(): Promise<void> {
    await end(this.#haproxy, 'SIGKILL');
  }

  /** Starts `understudy up` and waits until it can be asked. */
  async startController(): Promise<ChildProcess> {
    const log = openSync(join(this.folder, 'up.log'), 'a');
    const [ip = '', ...before] = this.lan.wrap();
    const args = [...before, process.execPath, this.#options.program, 'up', '-f', this.configuration];
    const child = spawn(ip, args, { stdio: ['ignore', log, log], detached: true });
    closeSync(log);
    this.#controller = child;
    await this.until('understudy up answers', async () => {
      if (child.exitCode !== null) throw new Stopped(`understudy up has ended: ${this.log('up.log')}`);
      return (await this.ask('/healthz')).status === 200;
    });
    return child;
  }

  get controller(): ChildProcess | null {
    return this.#controller;
  }

  async stopController(signal: NodeJS.Signals): Promise<void> {
    await end(this.#controller, signal);
    this.#controller = null;
  }

  log(name: string): string {
    return readFileSync(join(this.folder, name), 'utf8');
  }

  /** Of an operator, for the interface of the controller. */
  readonly authorization = { authorization: `Bearer ${OPERATOR_TOKEN}` };

  /** URL of a path of the interface. */
  interface(path: string): string {
    return `https://${SUBNET}.1:${API_PORT}${path}`;
  }

  /** One request to the interface from inside, as an operator. */
  ask(path: string, more: Omit<Asked, 'url' | 'ca'> = {}): Promise<{ status: number; body: string }> {
    const headers = { ...this.authorization, ...more.headers };
    return this.insider.ask({ ...more, headers, url: this.interface(path), ca: this.authority });
  }

  /** Asks the interface of the controller, as an operator. */
  async api<T>(path: string): Promise<T> {
    const { status, body } = await this.ask(path);
    if (status !== 200) throw new Error(`${path}: ${status} ${body}`);
    return JSON.parse(body) as T;
  }

  /** Runs a command of the program inside the network. */
  async cli(...args: readonly string[]): Promise<{ status: number | null; stdout: string; stderr: string }> {
    const [ip = '', ...before] = this.lan.wrap();
    const connection = ['-f', this.configuration, '--token-file', join(this.folder, 'secrets/operator')];
    const command = [...before, process.execPath, this.#options.program, ...args, ...connection];
    return runTool(ip, command, { timeoutMs: CLI_TIMEOUT_MS });
  }

  /** The same, for commands that have to succeed and print JSON. */
  async json<T>(...args: readonly string[]): Promise<T> {
    const { status, stdout, stderr } = await this.cli(...args, '--json');
    if (status !== 0) throw new Error(`understudy ${args.join(' ')}: ${stderr}${stdout}`);
    return JSON.parse(stdout) as T;
  }

  async until(what: string, look: () => Promise<boolean>, patienceMs = 360_000): Promise<void> {
    const deadline = performance.now() + patienceMs;
    let last = '';
    while (performance.now() < deadline) {
      try {
        if (await look()) return;
      } catch (error) {
        if (error instanceof Stopped) throw error;
        // Not yet; what is in the way is said when patience ends.
        last = `: ${String(error)}`;
      }
      await delay(100);
    }
    throw new Error(`waited ${patienceMs / 1000} s in vain until ${what}${last}`);
  }

  /** Ends everything, however far it came. */
  async close(): Promise<void> {
    await this.insider.close();
    await this.stopController('SIGKILL');
    await this.stopDirector();
    // Storage daemon and machines run in the namespace, in sessions of their own.
    await this.lan.close();
  }
}

class Stopped extends Error {}

async function end(child: ChildProcess | null, signal: NodeJS.Signals): Promise<void> {
  if (child === null || child.exitCode !== null || child.signalCode !== null) return;
  const closed = new Promise((resolve) => child.once('exit', resolve));
  child.kill(signal);
  await closed;
}
