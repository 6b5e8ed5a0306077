// Where a test of the whole engine plays: folders of its own for images, targets, shared memory, resume records and
// temporary files, and a mark that every process started here inherits. When the test is over nothing may be left: no
// process, no file in shared memory (so no lock either: locks die with their files and processes), no temporary file,
// and under the final name of a target nothing but a whole image.
import { spawnSync } from 'node:child_process';
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { requireTool } from '../../src/base/mod.ts';
import { copies, type RunningCopy } from '../../src/replication/mod.ts';
import { type NbdkitOptions, type NbdServer, startNbdkit } from '../support/nbd-server.ts';
import { diskBytes } from '../support/packed-image.ts';
import { firstDifference } from './content.ts';
import { CLI, CopyProcess, type RunOptions } from './copy-process.ts';
import { patience } from './patience.ts';
import { isProducer, type MarkedProcess, markedProcesses } from './processes.ts';
import { eventually } from './wait.ts';

/** What ends by itself has this long to do so. */
const FAREWELL_MS = patience(10_000);
const PROVISIONAL = /\.(partial|resume|new)$/;

export class Stage {
  readonly folder: string;
  /** Targets lie here. */
  readonly out: string;
  readonly runtime: string;
  readonly state: string;
  readonly temporary: string;
  readonly env: NodeJS.ProcessEnv;
  readonly #mark: string;
  readonly #processes: CopyProcess[] = [];
  readonly #undo: (() => void | Promise<void>)[] = [];
  readonly #open = new Set<number>();
  /** Contents that may lie under a final name. */
  readonly #wholes: Buffer[] = [];

  constructor() {
    this.folder = mkdtempSync(join(tmpdir(), 'ust-stage-'));
    this.out = join(this.folder, 'out');
    this.state = join(this.folder, 'state');
    this.temporary = join(this.folder, 'tmp');
    this.runtime = join(this.folder, 'shm');
    for (const folder of [this.out, this.state, this.temporary]) mkdirSync(folder);
    mkdirSync(this.runtime, { mode: 0o700 });
    // Memory of its own: what others on this machine put into /dev/shm must not be missing here.
    this.tool('mount', 'mount', ['-t', 'tmpfs', '-o', 'size=50%,mode=0700', 'understudy-test', this.runtime]);
    const id = this.folder.slice(-6);
    this.#mark = `UNDERSTUDY_STAGE=${id}`;
    this.env = {
      ...process.env,
      UNDERSTUDY_STAGE: id,
      UNDERSTUDY_RUNTIME_DIR: this.runtime,
      UNDERSTUDY_PRODUCER_LOG: this.producerLog,
      XDG_STATE_HOME: this.state,
      TMPDIR: this.temporary,
    };
  }

  get producerLog(): string {
    return join(this.folder, 'producer.log');
  }

  path(name: string): string {
    return join(this.folder, name);
  }

  target(name: string): string {
    return join(this.out, name);
  }

  /** Names in the folder of targets: what a finished or interrupted copy shows to its user. */
  get targets(): readonly string[] {
    return readdirSync(this.out).sort();
  }

  /** Says that a target may have this content at the end. */
  allow(content: Buffer): Buffer {
    this.#wholes.push(content);
    return content;
  }

  /** A source image: random bytes behind a partition table, so that it is copied over disks without a question. */
  image(name: string, sizeBytes: number, seed = 1): { readonly path: string; readonly content: Buffer } {
    return this.write(name, diskBytes(sizeBytes, seed));
  }

  write(name: string, content: Buffer): { readonly path: string; readonly content: Buffer } {
    writeFileSync(this.path(name), content);
    return { path: this.path(name), content: this.allow(content) };
  }

  /** Runs `understudy copy`. */
  copy(args: readonly string[], options: RunOptions = {}): CopyProcess {
    return this.run(['copy', ...args], options);
  }

  /** Runs `understudy copy --json --quiet`. */
  copyJson(...args: readonly string[]): CopyProcess {
    return this.run(['copy', '--json', '--quiet', ...args]);
  }

  run(args: readonly string[], options: RunOptions = {}): CopyProcess {
    const process = new CopyProcess(args, this.env, options);
    this.#processes.push(process);
    return process;
  }

  /** What `understudy copies --json` says now. */
  async copies(): Promise<readonly RunningCopy[]> {
    const process = new CopyProcess(['copies', '--json'], this.env, {});
    const { status } = await process.ended;
    if (status !== 0) throw new Error(`copies: ${process.stderr}`);
    return JSON.parse(process.stdout) as readonly RunningCopy[];
  }

  /**
   * The same, asked in this process: what is looked at a hundred times a second must not take the processor from the
   * copies that it looks at.
   */
  look(): readonly RunningCopy[] {
    const before = process.env.UNDERSTUDY_RUNTIME_DIR;
    process.env.UNDERSTUDY_RUNTIME_DIR = this.runtime;
    try {
      return copies();
    } finally {
      if (before === undefined) delete process.env.UNDERSTUDY_RUNTIME_DIR;
      else process.env.UNDERSTUDY_RUNTIME_DIR = before;
    }
  }

  /** Waits until the one running copy is as wanted; not longer than there is anything that could become so. */
  async sees(what: string, wanted: (copy: RunningCopy) => boolean): Promise<RunningCopy> {
    let last: RunningCopy | undefined;
    const look = (): RunningCopy | null => {
      const [running] = this.look();
      last = running ?? last;
      // One that has just been started may not be found by its environment yet.
      const ended = this.#processes.every((one) => !one.running) && this.processes.length === 0;
      if (running === undefined && ended) throw new Error(`no copy runs any more: ${this.#told}`);
      return running !== undefined && wanted(running) ? running : null;
    };
    return eventually(() => `${what}; last seen: ${JSON.stringify(last)}`, look);
  }

  /** What the commands started here have printed so far. */
  get #told(): string {
    return this.#processes.map(({ stdout, stderr }) => `${stdout}${stderr}`).join('\n');
  }

  /**
   * One thread a connection: with more, nbdkit 1.32 aborts now and then when a client is killed while several answers
   * are on their way ("raw_send_socket: Assertion `sock >= 0' failed").
   */
  async nbdkit(options: NbdkitOptions): Promise<NbdServer> {
    const server = await startNbdkit({ ...options, options: ['--threads=1', ...(options.options ?? [])] });
    this.defer(() => server.stop());
    return server;
  }

  /** A loop device over a file; needs root. */
  loop(file: string, ...options: readonly string[]): string {
    const device = this.tool('losetup', 'mount', ['--find', '--show', ...options, file]).trim();
    this.defer(() => {
      this.tool('losetup', 'mount', ['--detach', device]);
    });
    return device;
  }

  /** Opens a file for reading and writing, for locks; closed at the end if not before. */
  openFile(path: string): number {
    const fd = openSync(path, 'r+');
    this.#open.add(fd);
    return fd;
  }

  closeFile(fd: number): void {
    if (this.#open.delete(fd)) closeSync(fd);
  }

  /** Runs a program that has to succeed; its standard output. */
  tool(name: string, debianPackage: string, args: readonly string[]): string {
    const env = { ...process.env, LC_ALL: 'C' };
    const done = spawnSync(requireTool(name, debianPackage), args, { encoding: 'utf8', env, maxBuffer: 1 << 28 });
    if (done.status !== 0) throw new Error(`${name} ${args.join(' ')}: ${done.stderr}`);
    return done.stdout;
  }

  /** Undone at the end, last first, however the test ends. */
  defer(undo: () => void | Promise<void>): void {
    this.#undo.push(undo);
  }

  get processes(): readonly MarkedProcess[] {
    return markedProcesses(this.#mark);
  }

  get producers(): readonly MarkedProcess[] {
    return this.processes.filter(isProducer);
  }

  /** First offset where a target differs from a content, or null. */
  difference(name: string, content: Buffer): number | null {
    const path = name.startsWith('/') ? name : this.target(name);
    if (!name.startsWith('/') && statSync(path).size !== content.length)
      return Math.min(statSync(path).size, content.length);
    return firstDifference(path, content);
  }

  /**
   * Waits until everything started here has ended by itself, then says what is left behind; nothing, if all is well.
   */
  async leftBehind(): Promise<readonly string[]> {
    const look = (): string[] => [
      ...this.processes.map(({ pid, command }) => `process ${pid}: ${command}`),
      ...readdirSync(this.runtime).map((name) => `shared memory: ${name}`),
      ...readdirSync(this.temporary).map((name) => `temporary file: ${name}`),
    ];
    const deadline = performance.now() + FAREWELL_MS;
    await eventually('nothing left', () => look().length === 0 || performance.now() > deadline, 2 * FAREWELL_MS);
    return [...look(), ...this.#halfImages()];
  }

  #halfImages(): readonly string[] {
    return this.targets
      .filter((name) => !PROVISIONAL.test(name) && statSync(this.target(name)).isFile())
      .filter((name) => !this.#wholes.some((content) => this.difference(name, content) === null))
      .map((name) => `half image: ${name}`);
  }

  /** What the producers said, for the report of a failed test. */
  get log(): string {
    return existsSync(this.producerLog) ? readFileSync(this.producerLog, 'utf8') : '';
  }

  async close(): Promise<void> {
    for (const process of this.#processes) await process.kill();
    for (const { pid } of this.processes) process.kill(pid, 'SIGKILL');
    for (const fd of this.#open) this.closeFile(fd);
    const failures: unknown[] = [];
    for (const undo of this.#undo.reverse()) {
      try {
        await undo();
      } catch (error) {
        // The others still have to be done.
        failures.push(error);
      }
    }
    // Processes that were killed give it back when they are through with dying.
    this.tool('umount', 'mount', ['--lazy', this.runtime]);
    if (failures.length > 0) throw failures[0];
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** Plays a test on a stage of its own; what it leaves behind fails it. */
export async function onStage(play: (stage: Stage) => Promise<void>): Promise<void> {
  const stage = new Stage();
  try {
    await play(stage);
    const left = await stage.leftBehind();
    if (left.length > 0) throw new Error(`left behind:\n${left.join('\n')}`);
  } catch (error) {
    if (stage.log !== '') process.stderr.write(`${stage.log}\n`);
    throw error;
  } finally {
    await stage.close();
  }
}

export { CLI };
