// A real storage node for tests: a process with its store and state, qemu-storage-daemon, raw files or loop devices as
// volumes, and QEMU's own NBD client as the hosts.

import { randomInt } from 'node:crypto';
import {
  closeSync,
  fstatSync,
  fsyncSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { requireTool, runTool } from '../../src/base/mod.ts';
import type { LocalStorageNode } from '../../src/storage/mod.ts';
import { TestAuthority } from '../support/authority.ts';
import { randomBytesOf } from './content.ts';
import { commandsWith } from './machines.ts';
import { type ClientCredentials, credentialsOf, NbdHost } from './nbd-host.ts';
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
  /**
   * Hosts come over TLS at gateways, each with the certificate of its name; or over TCP in plain text. @default Unix
   * socket
   */
  readonly network?: { readonly hosts: readonly string[] } | 'plain-ports' | 'plain-port';
  /** Room for backups: a file system of its own of this size. */
  readonly roomBytes?: number;
}

const OVERLAY_BYTES = 64 * 1024 * 1024;
/** Name of the node in certificates. */
export const NODE = 'san-a';
const PORTS = 8;
/** Below the ports that the kernel gives to clients (ip_local_port_range), away from well-known servers. */
const [PORT_MIN, PORT_MAX] = [20_000, 32_000];

/** The first of some ports in a row; whoever else has one of them is passed over by the node itself. */
function portsOfOurOwn(): number {
  return randomInt(PORT_MIN, PORT_MAX);
}

export class StorageStage {
  readonly folder = mkdtempSync(join(tmpdir(), 'us'));
  readonly #options: StorageStageOptions;
  readonly #paths = new Map<string, string>();
  readonly #undo: (() => Promise<void>)[] = [];
  #host: StorageProcess | null = null;
  #listen: StorageSetting['listen'] = { kind: 'unix' };
  #authority: TestAuthority | null = null;

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
      if (options.network !== undefined) await stage.#network(options.network);
      await stage.start();
      return stage;
    } catch (error) {
      await stage.close();
      throw error;
    }
  }

  async #network(network: NonNullable<StorageStageOptions['network']>): Promise<void> {
    const firstPort = portsOfOurOwn();
    if (network === 'plain-port') {
      this.#listen = { kind: 'tcp', host: '127.0.0.1', port: firstPort };
      return;
    }
    const range = { kind: 'range', host: '127.0.0.1', firstPort, lastPort: firstPort + PORTS - 1 } as const;
    this.#listen = { ...range, tls: null };
    if (network === 'plain-ports') return;
    const authority = await TestAuthority.make();
    this.#authority = authority;
    this.#undo.push(async () => authority.remove());
    await authority.node(NODE);
    for (const name of network.hosts) await authority.host(name);
    this.#listen = { ...range, tls: { folder: authority.folder, name: NODE } };
  }

  /** Who signed the certificates of node and hosts; null without TLS. */
  get authority(): TestAuthority | null {
    return this.#authority;
  }

  /** As an operator changes the configuration; counts from the next start on. */
  set listen(listen: StorageSetting['listen']) {
    this.#listen = listen;
  }

  get listen(): StorageSetting['listen'] {
    return this.#listen;
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

  /** Of a host, or of "node-node" and the like. */
  credentials(name: string): ClientCredentials {
    if (this.authority === null) throw new Error('the stage has no certificates');
    return credentialsOf(this.authority, name.includes('-') ? name : `host-${name}`, NODE);
  }

  /**
   * Another bit of a backup, also while it is made; called again, it is as it was. @param offset @default the middle
   */
  spoilBackup(volume: string, engagement: string, offset: number | null = null): void {
    const names = readdirSync(join(this.storageFolder, engagement));
    const found = names.find((name) => name.startsWith(`${volume}.raw`));
    const fd = openSync(join(this.storageFolder, engagement, found ?? 'none'), 'r+');
    try {
      const at = offset ?? Math.floor(fstatSync(fd).size / 2);
      const byte = Buffer.alloc(1);
      readSync(fd, byte, 0, 1, at);
      writeSync(fd, Uint8Array.of(byte.readUInt8() ^ 1), 0, 1, at);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
  }

  async start(dieAt: StorageSetting['dieAt'] = null): Promise<void> {
    const setting: StorageSetting = {
      name: 'node',
      folder: this.storageFolder,
      stateFolder: join(this.folder, 'state'),
      volumes: this.#options.volumes.map(({ name }) => ({ name, path: this.path(name) })),
      listen: this.#listen,
      backgroundRate: this.#options.backgroundRate ?? null,
      overlayBytesMax: this.#options.overlayBytesMax ?? OVERLAY_BYTES,
      store: join(this.folder, 'store.db'),
      dieAt,
    };
    this.#host = await StorageProcess.start(setting, process.env);
  }

  /** Numbers of the processes of the daemon that holds the volumes and of gateways, by "daemon" and "gateway-PORT". */
  get daemons(): ReadonlyMap<string, number> {
    const found = [...commandsWith(this.folder)].flatMap(([pid, [program = '', ...args]]) => {
      const control = args.find((argument) => argument.includes('id=control'));
      const name = control === undefined ? undefined : /\/([a-z0-9-]+)\.qmp$/.exec(control)?.[1];
      return program.endsWith('/qemu-storage-daemon') && name !== undefined ? [[name, pid] as const] : [];
    });
    return new Map(found);
  }

  /** Number of the process of the daemon that holds the volumes. */
  get daemonPid(): number {
    const pid = this.daemons.get('daemon');
    if (pid === undefined) throw new Error('no storage daemon');
    return pid;
  }

  /** "gateway-PORT" of the gateway at a URI. */
  gatewayOf(uri: string): string {
    return `gateway-${new URL(uri).port}`;
  }

  async killDaemon(name = 'daemon'): Promise<void> {
    const pid = this.daemons.get(name);
    if (pid === undefined) throw new Error(`no daemon ${name}`);
    process.kill(pid, 'SIGKILL');
    await eventually(`${name} is gone`, () => !commandsWith(this.folder).has(pid));
  }

  /**
   * A host at an export: qemu-io(1), which waits for a server that went away as a machine does.
   * @param name whose certificate it has, where the stage has TLS
   */
  host(uri: string, name = ''): NbdHost {
    const host = new NbdHost(uri, this.authority === null ? null : this.credentials(name));
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
