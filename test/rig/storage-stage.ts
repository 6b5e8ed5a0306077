// A real storage node for tests: a process with its store and state, qemu-storage-daemon, raw files or loop devices as volumes, and
// QEMU's own NBD client as the hosts.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { requireTool, runTool } from '../../src/base/mod.ts';
import type { LocalStorageNode } from '../../src/storage/mod.ts';
import { randomBytesOf } from './content.ts';
import { commandsWith } from './machines.ts';
import { StorageProcess } from './storage-process.ts';
import type { StorageSetting } from './storage-wire.ts';
import { unmount } from './unmount.ts';
import { eventually } from './wait.ts';

export interface VolumePlan {
  readonly name: string;
  readonly bytes: number;
  /** Laid over the random content. */
  readonly patch?: { readonly offsetBytes: number; readonly bytes: Buffer };
}

export interface StorageStageOptions {
  readonly volumes: readonly VolumePlan[];
  /** Volumes are loop devices over the files. */
  readonly block?: boolean;
  readonly backgroundRate?: number;
  readonly overlayBytesMax?: number;
  /** Room for backups: a file system of its own of this size. */
  readonly roomBytes?: number;
}

const OVERLAY_BYTES = 64 * 1024 * 1024;

export class StorageStage {
  readonly folder = mkdtempSync(join(tmpdir(), 'us'));
  readonly #options: StorageStageOptions;
  readonly #paths = new Map<string, string>();
  readonly #undo: (() => Promise<void>)[] = [];
  #host: StorageProcess | null = null;

  private constructor(options: StorageStageOptions) {
    this.#options = options;
  }

  static async make(options: StorageStageOptions): Promise<StorageStage> {
    const stage = new StorageStage(options);
    try {
      for (const [index, { name, bytes, patch }] of options.volumes.entries()) {
        const file = join(stage.folder, `${name}.img`);
        const content = randomBytesOf(index + 1, bytes);
        if (patch !== undefined) patch.bytes.copy(content, patch.offsetBytes);
        writeFileSync(file, content);
        stage.#paths.set(name, options.block === true ? await stage.#loop(file) : file);
      }
      mkdirSync(stage.storageFolder);
      if (options.roomBytes !== undefined) await stage.#room(options.roomBytes);
      await stage.start();
      return stage;
    } catch (error) {
      await stage.close();
      throw error;
    }
  }

  get storageFolder(): string {
    return join(this.folder, 'storage');
  }

  get process(): StorageProcess {
    if (this.#host === null) throw new Error('the node does not run');
    return this.#host;
  }

  get node(): LocalStorageNode {
    return this.process.node;
  }

  path(volume: string): string {
    const path = this.#paths.get(volume);
    if (path === undefined) throw new Error(`no volume ${volume}`);
    return path;
  }

  /** What is on the disk; of a volume that a host has, what was flushed. */
  content(volume: string): Buffer {
    return readFileSync(this.path(volume));
  }

  async start(dieAt: StorageSetting['dieAt'] = null): Promise<void> {
    const setting: StorageSetting = {
      name: 'node',
      folder: this.storageFolder,
      stateFolder: join(this.folder, 'state'),
      volumes: this.#options.volumes.map(({ name }) => ({ name, path: this.path(name) })),
      listen: { kind: 'unix' },
      backgroundRate: this.#options.backgroundRate ?? null,
      overlayBytesMax: this.#options.overlayBytesMax ?? OVERLAY_BYTES,
      store: join(this.folder, 'store.db'),
      dieAt,
    };
    this.#host = await StorageProcess.start(setting, process.env);
  }

  /** Number of the storage daemon's process. */
  get daemonPid(): number {
    const found = [...commandsWith(this.folder)].filter(([, [program = '']]) =>
      program.endsWith('/qemu-storage-daemon'),
    );
    const [first] = found;
    if (found.length !== 1 || first === undefined) throw new Error(`${found.length} storage daemons`);
    return first[0];
  }

  async killDaemon(): Promise<void> {
    const pid = this.daemonPid;
    process.kill(pid, 'SIGKILL');
    await eventually('the storage daemon is gone', () => !commandsWith(this.folder).has(pid));
  }

  /** A host at an export: qemu-io(1), which waits for a server that went away as a machine does. */
  host(uri: string): NbdHost {
    const host = new NbdHost(uri);
    this.#undo.push(() => host.end());
    return host;
  }

  async #loop(file: string): Promise<string> {
    const device = (await tool('losetup', 'mount', ['--find', '--show', file])).trim();
    this.#undo.push(async () => {
      await tool('losetup', 'mount', ['--detach', device]);
    });
    return device;
  }

  async #room(bytes: number): Promise<void> {
    await tool('mount', 'mount', ['-t', 'tmpfs', '-o', `size=${bytes}`, 'tmpfs', this.storageFolder]);
    this.#undo.push(() => unmount(this.storageFolder));
  }

  async close(): Promise<void> {
    await this.#host?.kill();
    for (const pid of commandsWith(this.folder).keys()) if (pid !== process.pid) process.kill(pid, 'SIGKILL');
    await eventually('nothing of the stage runs', () => commandsWith(this.folder).size === 0);
    for (const undo of this.#undo.reverse()) await undo();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

async function tool(name: string, debianPackage: string, args: readonly string[]): Promise<string> {
  const done = await runTool(requireTool(name, debianPackage), args);
  if (done.status !== 0) throw new Error(`${name} ${args.join(' ')}: ${done.stderr}`);
  return done.stdout;
}

/** Commands one after the other; each is answered when the server has acknowledged it. */
export class NbdHost {
  readonly #child: ChildProcess;
  readonly #waiting: ((line: string) => void)[] = [];
  #said = '';

  constructor(uri: string) {
    const url = new URL(uri);
    const options = [
      'driver=nbd,server.type=unix',
      `server.path=${url.searchParams.get('socket')}`,
      `export=${decodeURIComponent(url.pathname.slice(1))}`,
      'reconnect-delay=60',
    ];
    this.#child = spawn(requireTool('qemu-io', 'qemu-utils'), ['--image-opts', options.join(',')], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    this.#child.stdout?.setEncoding('utf8').on('data', (chunk: string) => this.#read(chunk));
    this.#child.on('exit', () => {
      for (const answer of this.#waiting.splice(0)) answer('the host has ended');
    });
  }

  /** qemu-io asks for the next command when the one before is over. */
  #read(chunk: string): void {
    this.#said += chunk;
    for (let end = this.#said.indexOf('qemu-io> '); end >= 0; end = this.#said.indexOf('qemu-io> ')) {
      const answer = this.#said.slice(0, end);
      this.#said = this.#said.slice(end + 'qemu-io> '.length);
      if (this.#greeted) this.#waiting.shift()?.(answer);
      this.#greeted = true;
    }
  }

  #greeted = false;

  async run(command: string): Promise<string> {
    const answer = new Promise<string>((resolve) => this.#waiting.push(resolve));
    this.#child.stdin?.write(`${command}\n`);
    return answer;
  }

  /** Written and flushed; rejects when the server said no. */
  async write(offsetBytes: number, byte: number, lengthBytes: number): Promise<void> {
    const written = await this.run(`write -P ${byte} ${offsetBytes} ${lengthBytes}`);
    if (!written.includes(`wrote ${lengthBytes}/${lengthBytes} bytes`)) throw new Error(`write: ${written}`);
    const flushed = await this.run('flush');
    if (/failed|error|ended/i.test(flushed)) throw new Error(`flush: ${flushed}`);
  }

  async end(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const gone = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await gone;
  }
}
