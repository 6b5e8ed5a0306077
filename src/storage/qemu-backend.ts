// The real backend: volumes served by qemu-storage-daemon, copies by the copy engine, backups as files.
import { constants, existsSync, mkdirSync } from 'node:fs';
import { mkdir, open, rm, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { assert, codeOf, errnoOf, limits, messageOf, UnderstudyError } from '../base/mod.ts';
import type { Backend, BackupFile, CopyJob, Recorded, Snapshot } from './backend.ts';
import { backupPath, findBackups, headerPath, keepHeader } from './backup-files.ts';
import { BackupSpace, neededFor } from './backup-space.ts';
import {
  type DaemonMemory,
  daemonPaths,
  freeBytesOf,
  type ServedSnapshot,
  ServedVolumes,
  type VolumePlace,
  volumesSocket,
} from './daemon/mod.ts';
import {
  type AttachedVolume,
  endGateways,
  type GatewayMemory,
  Gateways,
  isInsecure,
  type Listen,
} from './gateway/mod.ts';
import { lockNode, type NodeLock } from './node-lock.ts';
import { readSecret, removeSecret, syncFolder, writeSecret } from './secret-file.ts';
import { type BackupHeader, diskKey, type FoundBackup, type TextFolder, textsIn } from './stamps/mod.ts';
import { bytesToCopy, digestOfVolume, sizeOfVolume, zeroTail } from './volume-content.ts';
import { copyVolume } from './volume-copy.ts';
import type { VolumeName } from './volume-list.ts';

/** Blocks that are zeros stay holes: small ones keep a sparse volume's backup sparse, and cost little on any disk. */
const BLOCK_BYTES = limits.MIB;

/** What a backup of this file or device is asked to have room for. @throws STORAGE_FAILED */
export async function backupBytesOf(path: string): Promise<number> {
  return neededFor(await bytesToCopy(path, BLOCK_BYTES));
}

export interface QemuBackendOptions {
  readonly volumes: readonly VolumeName[];
  /** Where backups and overlays go. */
  readonly folder: string;
  /** Sockets, locks and plans; on a local file system. */
  readonly stateFolder: string;
  readonly listen: Listen;
  readonly gateways: GatewayMemory;
  readonly backgroundRate: number | null;
  readonly overlayBytesMax: number;
  readonly memory: DaemonMemory & { restarts(): number; shutDown(): Promise<void> };
}

interface QemuSnapshot extends Snapshot {
  readonly served: ServedSnapshot;
  readonly bytes: number;
}

export class QemuBackend implements Backend {
  readonly #options: QemuBackendOptions;
  readonly #space = new BackupSpace();
  #paths: ReadonlyMap<string, string> = new Map();
  #served: ServedVolumes | null = null;
  /** null: hosts come by the Unix socket. */
  #gateways: Gateways | null = null;
  #lock: NodeLock | null = null;
  #snapshots = new WeakMap<Snapshot, QemuSnapshot>();

  readonly stamps: TextFolder;

  constructor(options: QemuBackendOptions) {
    this.#options = options;
    this.stamps = textsIn(options.folder);
    this.setVolumes(options.volumes);
  }

  checkState(): void {
    assert(this.#lock !== null, 'open() comes first');
    this.#lock.check();
  }

  diskOf(volume: string): string | null {
    return diskKey(this.pathOf(volume));
  }

  setVolumes(volumes: readonly VolumeName[]): void {
    this.#paths = new Map(volumes.map(({ name, path }) => [name, path]));
  }

  async open(): Promise<void> {
    const { folder, stateFolder } = this.#options;
    try {
      mkdirSync(stateFolder, { recursive: true, mode: 0o700 });
      mkdirSync(folder, { recursive: true, mode: 0o700 });
    } catch (cause) {
      throw new UnderstudyError('STORAGE_FAILED', `a folder cannot be made: ${messageOf(cause)}`, { cause });
    }
    this.#lock = await lockNode(join(stateFolder, 'node.lock'));
  }

  async start(recorded: () => Promise<Recorded>): Promise<void> {
    const { folder, stateFolder, listen, overlayBytesMax, memory } = this.#options;
    const placesOf = ({ attached }: Recorded): readonly AttachedVolume[] =>
      attached.map(({ volume, host }) => ({ place: this.#place(volume), host }));
    const served = new ServedVolumes({
      paths: daemonPaths(stateFolder),
      socket: volumesSocket(stateFolder),
      audience: listen.kind === 'unix' ? 'hosts' : 'gateways',
      folder,
      overlayBytesMax,
      memory,
      // A daemon that lives in this place now may be another node's.
      check: () => this.checkState(),
      recorded: async () => {
        const { attached, unknown } = await recorded();
        return {
          attached: attached.map(({ volume, host }) => {
            return { ...this.#place(volume), exportName: this.#gateways?.exportNameOf(volume, host) ?? volume };
          }),
          unknown: unknown.map((name) => this.#place(name)),
        };
      },
    });
    this.#served = served;
    if (listen.kind !== 'unix') {
      const { attached, unknown } = await recorded();
      this.#gateways = new Gateways({
        ...{ listen, stateFolder, volumes: served, memory: this.#options.gateways, unknown },
        order: () => [...this.#paths.keys()],
      });
      await this.#gateways.load(attached);
    }
    await served.daemon.start();
    if (this.#gateways === null) await endGateways(stateFolder, new Set());
    else await this.#gateways.start(placesOf(await recorded()));
  }

  get #volumes(): ServedVolumes {
    assert(this.#served !== null, 'start() comes first');
    return this.#served;
  }

  get daemon() {
    return { running: this.#volumes.daemon.isUp, restarts: this.#options.memory.restarts() };
  }

  pathOf(volume: string): string {
    return this.#place(volume).path;
  }

  #place(name: string): VolumePlace {
    const path = this.#paths.get(name);
    assert(path !== undefined, `the node knows the volume ${name}`);
    return { name, path };
  }

  sizeOf(volume: string): Promise<number> {
    return sizeOfVolume(this.pathOf(volume));
  }

  freeBytes(): Promise<number> {
    return freeBytesOf(this.#options.folder);
  }

  uriOf(volume: string, host: string): string {
    return this.#gateways?.uriOf(volume, host) ?? this.#volumes.hostUri(volume);
  }

  problemOf(volume: string, host: string): string | null {
    return this.#volumes.problemOf(volume)?.message ?? this.#gateways?.problemOf(volume, host) ?? null;
  }

  get insecure(): boolean {
    return isInsecure(this.#options.listen);
  }

  serve(volume: string, host: string): Promise<void> {
    const place = this.#place(volume);
    return this.#gateways?.serve(place, host) ?? this.#volumes.serve(place, volume);
  }

  unserve(volume: string, host: string): Promise<void> {
    const place = this.#place(volume);
    return this.#gateways?.unserve(place, host) ?? this.#volumes.unserve(place);
  }

  async renew(): Promise<readonly string[]> {
    return (await this.#gateways?.renew()) ?? [];
  }

  async snapshot(volume: string): Promise<Snapshot> {
    const bytes = await this.sizeOf(volume);
    const served = await this.#volumes.snapshot(this.#place(volume), bytes);
    const snapshot: QemuSnapshot = {
      served,
      bytes,
      takenAt: served.takenAt,
      image: served.uri,
      get live() {
        return served.live;
      },
      end: () => served.end(),
    };
    this.#snapshots.set(snapshot, snapshot);
    return snapshot;
  }

  async replicate(from: Snapshot, to: string, job: CopyJob): Promise<void> {
    const snapshot = this.#snapshots.get(from);
    assert(snapshot !== undefined, 'the snapshot is of this backend');
    const { served, bytes } = snapshot;
    await this.#overwrite(to, served.uri, bytes, job, async (error) => {
      // What the source did not give has a reason that only the daemon knows.
      return codeOf(error)?.startsWith('SOURCE_') === true || !served.live ? served.diagnose(error) : error;
    });
    await zeroTail(this.pathOf(to), bytes, job.signal);
  }

  async restore(volume: string, engagement: string, job: CopyJob): Promise<string> {
    const file = this.#backupPath(volume, engagement);
    await this.#overwrite(volume, file, await sizeOfVolume(file), job, async (error) => error);
    return digestOfVolume({ path: this.pathOf(volume), fromDisk: true, signal: job.signal });
  }

  async #overwrite(
    volume: string,
    source: string,
    bytes: number,
    job: CopyJob,
    explain: (error: unknown) => Promise<unknown>,
  ): Promise<void> {
    const fill = await this.#volumes.fill(this.#place(volume));
    try {
      const rate = this.#options.backgroundRate;
      await copyVolume({ source, target: fill.uri, bytes, blockBytes: BLOCK_BYTES, verify: false, rate }, job);
    } catch (error) {
      const explained = await explain(error);
      if (codeOf(explained) !== 'TARGET_UNAVAILABLE') throw explained;
      const message = `${volume}: the storage daemon went away while it was overwritten`;
      throw new UnderstudyError('STORAGE_FAILED', message, { cause: explained });
    } finally {
      await fill.end();
    }
  }

  async backup(volume: string, engagement: string, job: CopyJob): Promise<BackupFile> {
    const path = this.pathOf(volume);
    const target = this.#backupPath(volume, engagement);
    if (existsSync(target)) return this.#takeBackup(volume, engagement, job.signal);
    await this.#removeUnfinished(target);
    const bytes = await sizeOfVolume(path);
    const dataBytes = await bytesToCopy(path, BLOCK_BYTES);
    const room = this.#space.take(`the backup of ${volume}`, dataBytes, await this.freeBytes());
    const onProgress: CopyJob['onProgress'] = (progress) => {
      room.used(progress.bytesDone - (bytes - dataBytes));
      job.onProgress(progress);
    };
    try {
      await this.#makeBackupFolder(engagement);
      const rate = this.#options.backgroundRate;
      const task = { source: path, target, bytes, blockBytes: BLOCK_BYTES, verify: true, rate };
      await copyVolume(task, { signal: job.signal, onProgress });
    } catch (error) {
      if (codeOf(error) !== 'TARGET_FULL') throw error;
      throw new UnderstudyError('STORAGE_SPACE', `the backup of ${volume}: ${messageOf(error)}`, { cause: error });
    } finally {
      room.release();
    }
    // Every block of the file was compared with what was read; so this is the file's digest, and the volume is still
    // cached.
    return { bytes, digest: await digestOfVolume({ path, fromDisk: false, signal: job.signal }) };
  }

  /** One that is there already is never overwritten. @throws VOLUME_STATE when the volume holds something else */
  async #takeBackup(volume: string, engagement: string, signal: AbortSignal): Promise<BackupFile> {
    const there = await this.examineBackup(volume, engagement, signal);
    const bytes = await this.sizeOf(volume);
    const digest = await digestOfVolume({ path: this.pathOf(volume), fromDisk: false, signal });
    if (there.bytes === bytes && there.digest === digest) return there;
    const path = this.#backupPath(volume, engagement);
    const message = `${path} exists, and holds other data than ${volume}; a backup is never overwritten: move it away`;
    throw new UnderstudyError('VOLUME_STATE', message);
  }

  backups(): Promise<readonly FoundBackup[]> {
    return findBackups(this.#options.folder);
  }

  keepHeader(header: BackupHeader): Promise<void> {
    return keepHeader(this.#options.folder, header);
  }

  async examineBackup(volume: string, engagement: string, signal: AbortSignal): Promise<BackupFile> {
    const path = this.#backupPath(volume, engagement);
    const bytes = await sizeOfVolume(path);
    return { bytes, digest: await digestOfVolume({ path, fromDisk: true, signal }) };
  }

  #backupPath(volume: string, engagement: string): string {
    return backupPath(this.#options.folder, volume, engagement);
  }

  async #removeUnfinished(path: string): Promise<void> {
    for (const end of ['.partial', '.partial.resume']) await rm(`${path}${end}`, { force: true });
  }

  async #makeBackupFolder(engagement: string): Promise<void> {
    await mkdir(join(this.#options.folder, engagement), { recursive: true, mode: 0o700 });
    await syncFolder(this.#options.folder);
  }

  async discard(volume: string, engagement: string): Promise<void> {
    const path = this.#backupPath(volume, engagement);
    // The header goes last: a backup without one would be of unknown origin.
    await rm(path, { force: true });
    await this.#removeUnfinished(path);
    await rm(headerPath(this.#options.folder, volume, engagement), { force: true });
    try {
      await rmdir(join(this.#options.folder, engagement));
    } catch (cause) {
      // It holds backups of other volumes, or never was there.
      if (!['ENOTEMPTY', 'EEXIST', 'ENOENT'].includes(errnoOf(cause) ?? '')) throw cause;
    }
    await syncFolder(this.#options.folder);
  }

  async flush(volume: string): Promise<void> {
    const file = await open(this.pathOf(volume), constants.O_RDWR);
    try {
      await file.sync();
    } finally {
      await file.close();
    }
  }

  async keepSecret(volume: string, text: string | null): Promise<void> {
    const path = this.#secretPath(volume);
    await (text === null ? removeSecret(path) : writeSecret(path, text));
  }

  secretOf(volume: string): Promise<string | null> {
    return readSecret(this.#secretPath(volume));
  }

  #secretPath(volume: string): string {
    return join(this.#options.stateFolder, 'plans', `${volume}.json`);
  }

  async close(): Promise<void> {
    await this.#gateways?.close();
    await this.#served?.daemon.close();
    this.#lock?.release();
    this.#lock = null;
  }

  async shutdown(): Promise<void> {
    await this.#gateways?.shutdown();
    await this.#volumes.daemon.shutdown();
    await this.#options.memory.shutDown();
    await this.close();
  }
}
