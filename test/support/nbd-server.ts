// Real NBD servers for tests. Each has a folder of its own, is ended by its process id, and leaves nothing behind.
import { type ChildProcess, execFileSync, fork, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, watch, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { present, requireTool } from '../../src/base/mod.ts';
import { openNbdDevice } from '../../src/replication/device/nbd.ts';
import type { DeviceStorage } from '../conformance/device.ts';
import { patience } from '../rig/patience.ts';

const START_MS = patience(15_000);

export class NbdServer {
  readonly folder: string;
  readonly uri: string;
  readonly #command: () => ChildProcess;
  readonly #pidFile: string;
  #child: ChildProcess | null = null;
  #stderr = '';

  private constructor(folder: string, uri: string, pidFile: string, command: () => ChildProcess) {
    this.folder = folder;
    this.uri = uri;
    this.#pidFile = pidFile;
    this.#command = command;
  }

  /** `plan` gives the arguments; the server must write `pidFile` once it accepts connections. */
  static async start(plan: (place: { folder: string; port: number; pidFile: string }) => NbdPlan): Promise<NbdServer> {
    const folder = mkdtempSync(join(tmpdir(), 'understudy-nbd-'));
    const pidFile = join(folder, 'pid');
    const { tool, debianPackage, args, uri } = plan({ folder, port: await freePort(), pidFile });
    const path = requireTool(tool, debianPackage);
    const server = new NbdServer(folder, uri, pidFile, () =>
      spawn(path, args, { stdio: ['ignore', 'ignore', 'pipe'] }),
    );
    try {
      await server.run();
    } catch (error) {
      rmSync(folder, { recursive: true });
      throw error;
    }
    return server;
  }

  /** Starts the process (again, at the same address), and waits until it accepts connections. */
  async run(): Promise<void> {
    rmSync(this.#pidFile, { force: true });
    // Before the start, so that the moment in which the file appears is not missed.
    const watcher = watch(this.folder);
    const child = this.#command();
    this.#child = child;
    child.stderr?.on('data', (text: Buffer) => {
      this.#stderr += text.toString();
    });
    let timer: NodeJS.Timeout | undefined;
    try {
      await new Promise<void>((ready, fail) => {
        const look = () => {
          if (existsSync(this.#pidFile) && readFileSync(this.#pidFile, 'utf8') !== '') ready();
        };
        watcher.on('change', look);
        child.once('error', fail);
        child.once('exit', () => fail(new Error(`the server ended before it was ready: ${this.#stderr}`)));
        timer = setTimeout(() => fail(new Error(`no server within ${START_MS} ms: ${this.#stderr}`)), START_MS);
        look();
      });
    } finally {
      clearTimeout(timer);
      watcher.close();
    }
  }

  /** Ends the process and waits until it is gone. */
  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    const child = this.#child;
    this.#child = null;
    if (child === null || child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise((done) => child.once('exit', done));
    child.kill(signal);
    await gone;
    // A server that was killed leaves its socket, and a new one would not start there.
    rmSync(join(this.folder, 'socket'), { force: true });
  }

  /** SIGSTOP or SIGCONT. */
  signal(signal: NodeJS.Signals): void {
    present(this.#child, 'a running server').kill(signal);
  }

  /** Stops every thread of the server; SIGSTOP reaches those that run on another processor only a moment later. */
  async freeze(): Promise<void> {
    this.signal('SIGSTOP');
    const tasks = `/proc/${present(this.#child, 'a running server').pid}/task`;
    const states = () =>
      readdirSync(tasks).map((task) => /\) (\w)/.exec(readFileSync(`${tasks}/${task}/stat`, 'utf8'))?.[1]);
    while (!states().every((state) => state === 'T')) await setImmediate();
  }

  async stop(): Promise<void> {
    await this.kill();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

export interface NbdPlan {
  readonly tool: string;
  readonly debianPackage: string;
  readonly args: readonly string[];
  readonly uri: string;
}

/** A TCP port that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((listening, fail) => {
    server.once('error', fail);
    server.listen(0, '127.0.0.1', listening);
  });
  const address = server.address();
  await new Promise((closed) => server.close(closed));
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}

/** A TCP port of some address of this machine, or of all. */
export interface NbdPlace {
  readonly address: string | null;
  readonly port: number;
}

export interface NbdkitOptions {
  readonly tcp?: boolean;
  /** @default with `tcp` a free port of 127.0.0.1 */
  readonly listen?: NbdPlace | undefined;
  readonly filters?: readonly string[];
  /** Plug-in and its parameters; FOLDER stands for the server's folder. */
  readonly plugin: readonly string[];
  /** Further options of nbdkit itself; FOLDER likewise. */
  readonly options?: readonly string[];
  /** Written to FOLDER/NAME before the start. */
  readonly files?: Readonly<Record<string, string | Uint8Array>>;
  /** Made from the plain URI. */
  readonly uri?: (plain: string, folder: string) => string;
}

export function startNbdkit(options: NbdkitOptions): Promise<NbdServer> {
  return NbdServer.start(({ folder, port, pidFile }) => {
    for (const [name, content] of Object.entries(options.files ?? {})) writeFileSync(join(folder, name), content);
    const place = options.listen ?? (options.tcp ? { address: '127.0.0.1', port } : null);
    const plain = place ? `nbd://127.0.0.1:${place.port}/` : `nbd+unix:///?socket=${folder}/socket`;
    const address = place?.address ? ['-i', place.address] : [];
    const where = place ? [...address, '-p', `${place.port}`] : ['-U', `${folder}/socket`];
    const filters = (options.filters ?? []).map((filter) => `--filter=${filter}`);
    const own = [...(options.options ?? []), ...filters, ...options.plugin];
    const args = ['-f', '--exit-with-parent', '-P', pidFile, ...where, ...own].map((arg) =>
      arg.replaceAll('FOLDER', folder),
    );
    const uri = options.uri?.(plain, folder) ?? plain;
    return { tool: 'nbdkit', debianPackage: 'nbdkit', args, uri };
  });
}

/** Serves FOLDER/disk. */
export function startQemuNbd(content: Uint8Array, format: 'raw' | 'qcow2', tcp = false): Promise<NbdServer> {
  return NbdServer.start(({ folder, port, pidFile }) => {
    const disk = join(folder, 'disk');
    writeFileSync(join(folder, 'raw'), content);
    execFileSync(requireTool('qemu-img', 'qemu-utils'), ['convert', '-f', 'raw', '-O', format, `${folder}/raw`, disk]);
    const where = tcp ? ['-b', '127.0.0.1', '-p', `${port}`] : ['-k', `${folder}/socket`];
    const args = ['-t', '-e', '8', '-f', format, `--pid-file=${pidFile}`, ...where, disk];
    const uri = tcp ? `nbd://127.0.0.1:${port}/` : `nbd+unix:///?socket=${folder}/socket`;
    return { tool: 'qemu-nbd', debianPackage: 'qemu-utils', args, uri };
  });
}

/** Reads or writes a whole export with somebody else's client. */
export function nbdcopy(from: string, to: string): void {
  execFileSync(requireTool('nbdcopy', 'libnbd-bin'), [from, to], {
    timeout: patience(30_000),
    stdio: ['ignore', 'ignore', 'pipe'],
  });
}

/** Storage whose content is read by nbdcopy, or from the `disk` in the server's folder that it serves byte by byte. */
export function storageOn(server: NbdServer, disk?: string): DeviceStorage {
  return {
    open: (role) => openNbdDevice({ uri: server.uri, role }),
    content: () => {
      const path = join(server.folder, disk ?? 'copy');
      if (disk === undefined) nbdcopy(server.uri, path);
      return readFileSync(path);
    },
    dispose: () => server.stop(),
  };
}

/** A server that misbehaves on purpose: test/support/rogue-nbd-server.ts in a process of its own. */
export class RogueServer {
  readonly uri: string;
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess, port: number) {
    this.#child = child;
    this.uri = `nbd://127.0.0.1:${port}/`;
  }

  static async start(mode: string): Promise<RogueServer> {
    const child = fork(resolve('dist/test/support/rogue-nbd-server.js'), [mode]);
    const port = await new Promise<number>((ready, fail) => {
      child.once('message', (message) => ready(Number(message)));
      child.once('error', fail);
      child.once('exit', () => fail(new Error('the rogue server ended before it was ready')));
    });
    return new RogueServer(child, port);
  }

  async stop(): Promise<void> {
    const gone = new Promise((done) => this.#child.once('exit', done));
    this.#child.kill('SIGKILL');
    await gone;
  }
}
