// `understudy up` in a network of its own, with real store, storage daemon and interface, and a part of it that goes
// wrong when the test says so: a module that Node.js loads first waits for the producer of a copy to be started, and
// then does what a file says.
import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import {
  closeSync,
  fstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { Lan } from '../../guests/mod.ts';
import { runTool } from '../../src/base/mod.ts';
import type { EngagementView, StatusView } from '../../src/controller/mod.ts';
import { patience } from './patience.ts';
import { eventually } from './wait.ts';

const PROGRAM = fileURLToPath(new URL('../../dist/run/cli/understudy.js', import.meta.url));
const MIB = 1024 * 1024;

/**
 * 'kills': SIGKILL. 'throws': a TypeError in a timer. 'memory': what V8 throws when memory cannot be had. 'asserts': an
 * assertion in the threads that write the targets of copies.
 */
export type Fault = 'kills' | 'throws' | 'memory' | 'asserts';

/** One line a fault: "kills /backups/". What it does to whoever starts a copy whose source has that in its path. */
const MODULE = `
import childProcess from 'node:child_process';
import { appendFileSync, readFileSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { AssertionError } from 'node:assert';
import { workerData } from 'node:worker_threads';
const { spawn } = childProcess;
const [faults, struck] = [process.env.TEST_FAULTS, process.env.TEST_STRUCK];
if (workerData?.task !== undefined && readFileSync(faults, 'utf8').startsWith('asserts')) {
  performance.now = () => { throw new AssertionError({ message: 'a piece is where it cannot be' }); };
}
childProcess.spawn = (program, args, options) => {
  const text = JSON.stringify(options?.env ?? {});
  const lines = readFileSync(faults, 'utf8').split('\\n').filter(Boolean).map((line) => line.split(' '));
  const found = text.includes('ringPath') ? lines.find(([, part]) => text.includes(part)) : undefined;
  if (found !== undefined) {
    appendFileSync(struck, found.join(' ') + '\\n');
    if (found[0] === 'kills') process.kill(process.pid, 'SIGKILL');
    const error = found[0] === 'memory' ? new RangeError('Array buffer allocation failed') : new TypeError('poison');
    setTimeout(() => { throw error; }, 1);
  }
  return spawn(program, args, options);
};
syncBuiltinESMExports();
`;

export class UpStage {
  readonly folder = mkdtempSync(join(tmpdir(), 'ustu-'));
  readonly #lan: Lan;
  #child: ChildProcess | null = null;
  /** What the controllers wrote to standard error. */
  log = '';
  /** A file that is standard error of the next one instead, and says to be a stream of the journal; null: none. */
  journal: string | null = null;

  private constructor(lan: Lan) {
    this.#lan = lan;
  }

  static async make(): Promise<UpStage> {
    const stage = new UpStage(await Lan.make({}));
    const { folder } = stage;
    mkdirSync(join(folder, 'secrets'));
    writeFileSync(join(folder, 'secrets/tokens'), 'operator alice 0123456789abcdef\n', { mode: 0o600 });
    for (const name of ['web1', 'spare1', 'spare2']) writeFileSync(stage.volume(name), randomBytes(MIB));
    writeFileSync(join(folder, 'preload.mjs'), MODULE);
    stage.faults();
    writeFileSync(join(folder, 'struck'), '');
    writeFileSync(stage.file, stage.#configuration());
    return stage;
  }

  /** How long a part may take for an answer: "1s". Counts from the next start on. */
  set callTimeout(duration: string) {
    writeFileSync(this.file, `${this.#configuration()}    timeouts: { call: ${duration} }\n`);
  }

  get file(): string {
    return join(this.folder, 'understudy.yaml');
  }

  get storePath(): string {
    return join(this.folder, 'state/store.db');
  }

  volume(name: string): string {
    return join(this.folder, `${name}.img`);
  }

  bytes(name: string): Buffer {
    return readFileSync(this.volume(name));
  }

  #configuration(): string {
    const names = ['web1', 'spare1', 'spare2'];
    const host = (name: string, index: number): string => `  ${name}:
    volume: ${name}
    interfaces: [{ name: eth0, mac: "52:54:00:90:00:1${index}", addresses: [10.88.0.1${index}/24] }]
    power: { driver: qemu, settings: { interfaces: [] } }
`;
    return `state: state
api: { host: 127.0.0.1, port: 7780, tokensFile: secrets/tokens }
volumes:
${names.map((name) => `  ${name}: { path: ${name}.img }\n`).join('')}hosts:
${names.map(host).join('')}services:
  wiki:
    lead: web1
    pool: [spare1, spare2]
    mode: advise
    port: 80
    traffic: reads
    check: { path: / }
    director: { driver: haproxy, settings: { socket: haproxy.sock, backend: wiki, readsBackend: wiki-reads } }
    objective: { signal: probe.milliseconds, below: 400 }
`;
  }

  /** From now on, for whoever starts a copy of a source with this in its path. */
  faults(...faults: readonly (readonly [Fault, string])[]): void {
    writeFileSync(join(this.folder, 'faults'), faults.map((fault) => `${fault.join(' ')}\n`).join(''));
  }

  /** How often one has struck. */
  get struck(): number {
    return readFileSync(join(this.folder, 'struck'), 'utf8').split('\n').length - 1;
  }

  /**
   * Starts a controller. @param options further ones of `up` @returns true when it answers; false: it died before it
   * said where
   */
  async up(...options: readonly string[]): Promise<boolean> {
    const [ip = '', ...before] = this.#lan.wrap();
    const env = {
      ...process.env,
      NODE_OPTIONS: `--import=${join(this.folder, 'preload.mjs')}`,
      TEST_FAULTS: join(this.folder, 'faults'),
      TEST_STRUCK: join(this.folder, 'struck'),
    };
    const args = [...before, process.execPath, PROGRAM, 'up', '--json', '-f', this.file, ...options];
    const stderr = this.journal === null ? 'pipe' : openSync(this.journal, 'a');
    const child = spawn(ip, args, { stdio: ['ignore', 'pipe', stderr], env: { ...env, ...journalOf(stderr) } });
    if (typeof stderr === 'number') closeSync(stderr);
    this.#child = child;
    child.stderr?.on('data', (bytes: Buffer) => {
      this.log += bytes.toString();
    });
    if (child.stdout === null) throw new Error('there is no output');
    const line = await createInterface({ input: child.stdout })[Symbol.asyncIterator]().next();
    return line.done !== true;
  }

  /** The process of this installation's storage daemon. */
  get storageDaemon(): number {
    const found = readdirSync('/proc').find((name) => /^\d+$/.test(name) && isDaemonOf(name, this.folder));
    if (found === undefined) throw new Error('there is no storage daemon');
    return Number(found);
  }

  get running(): boolean {
    return this.#child !== null && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  get exit(): { readonly code: number | null; readonly signal: NodeJS.Signals | null } {
    return { code: this.#child?.exitCode ?? null, signal: this.#child?.signalCode ?? null };
  }

  signal(signal: NodeJS.Signals): void {
    this.#child?.kill(signal);
  }

  async end(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    const child = this.#child;
    if (child === null || !this.running) return;
    const gone = once(child, 'exit');
    child.kill(signal);
    await gone;
  }

  understudy(...args: readonly string[]) {
    const [ip = '', ...before] = this.#lan.wrap();
    return runTool(ip, [...before, process.execPath, PROGRAM, ...args, '-f', this.file], {
      timeoutMs: patience(100_000),
    });
  }

  /** Commands that make certificates, which need no controller. They have to succeed. */
  async pki(...args: readonly string[]): Promise<void> {
    const { status, stderr } = await runTool(process.execPath, [PROGRAM, 'pki', ...args], {
      timeoutMs: patience(60_000),
    });
    if (status !== 0) throw new Error(`pki ${args.join(' ')}: ${stderr}`);
  }

  /** The same, begun and not waited for. */
  begin(...args: readonly string[]): ChildProcess {
    const [ip = '', ...before] = this.#lan.wrap();
    return spawn(ip, [...before, process.execPath, PROGRAM, ...args, '-f', this.file], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
  }

  async json<T>(...args: readonly string[]): Promise<T> {
    const { status, stdout, stderr } = await this.understudy(...args, '--json');
    if (status !== 0) throw new Error(`${args.join(' ')}: ${status} ${stdout}${stderr}`);
    return JSON.parse(stdout) as T;
  }

  async engagement(name: string): Promise<EngagementView | undefined> {
    return (await this.json<StatusView>('status')).engagements.find((one) => one.name === name);
  }

  /** Starts it as often as it dies, until it lives and what is waited for is so. @returns how often it died */
  async upUntil(what: string, isSo: () => Promise<boolean>, deathsMax: number): Promise<number> {
    for (let deaths = 0; deaths <= deathsMax; deaths += 1) {
      if (!this.running) await this.up();
      const lives = await eventually(
        () => `${what}: ${this.log}`,
        async () => (!this.running ? 'dead' : (await isSo().catch(() => false)) ? 'so' : null),
      );
      if (lives === 'so') return deaths;
    }
    throw new Error(`${what}: it died more than ${deathsMax} times: ${this.log}`);
  }

  async close(): Promise<void> {
    await this.end('SIGKILL');
    // The storage daemon outlives its controller, not its network.
    await this.#lan.close();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** systemd.exec(5), JOURNAL_STREAM. */
function journalOf(stderr: 'pipe' | number): Record<string, string> {
  if (stderr === 'pipe') return {};
  const { dev, ino } = fstatSync(stderr);
  return { JOURNAL_STREAM: `${dev}:${ino}` };
}

function isDaemonOf(process: string, folder: string): boolean {
  try {
    const [program = '', ...words] = readFileSync(`/proc/${process}/cmdline`, 'utf8').split('\0');
    return program.endsWith('qemu-storage-daemon') && words.some((word) => word.includes(folder));
  } catch {
    // It has ended.
    return false;
  }
}
