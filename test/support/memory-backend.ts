// A backend in memory: the same node decides and remembers, nothing is on a disk. It passes the suite of the storage
// node.
import { createHash } from 'node:crypto';
import { UnderstudyError } from '../../src/base/mod.ts';
import type { Backend, BackupFile, CopyJob, Recorded, Snapshot } from '../../src/storage/backend.ts';
import type { BackupHeader, FoundBackup, Texts } from '../../src/storage/stamps/mod.ts';

class MemorySnapshot implements Snapshot {
  readonly takenAt = new Date();
  readonly image = 'a moment in memory';
  readonly bytes: Buffer;
  live = true;

  constructor(bytes: Buffer) {
    this.bytes = Buffer.from(bytes);
  }

  async end(): Promise<void> {
    this.live = false;
  }
}

export interface MemoryDisks {
  readonly disks: Map<string, Buffer>;
  readonly backups: Map<string, Buffer>;
  readonly secrets: Map<string, string>;
  readonly served: Set<string>;
  readonly roomBytes: number;
  /** What lies beside the disks, by its name: stamps, and headers as "VOLUME ENGAGEMENT". */
  readonly texts: Map<string, string>;
  /**
   * Told whenever the bytes of a disk, or what is kept of them, have changed, and before a disk is taken from its host.
   */
  readonly onChange?: (volume: string, what: 'written' | 'discarded' | 'unserving') => void;
}

function digestOf(bytes: Buffer): string {
  return createHash('md5').update(bytes).digest('hex');
}

/** Texts in a map, which outlives whoever uses it. */
export function memoryTexts(map: Map<string, string>): Texts {
  return {
    names: async () => [...map.keys()],
    read: async (name) => map.get(name) ?? null,
    write: async (name, text) => void map.set(name, text),
    remove: async (name) => void map.delete(name),
  };
}

export class MemoryBackend implements Backend {
  readonly daemon = { running: true, restarts: 0 };
  readonly #world: MemoryDisks;

  /** @param world outlives the backend, as disks do */
  constructor(world: MemoryDisks) {
    this.#world = world;
    this.stamps = memoryTexts(world.texts);
  }

  readonly stamps: Texts;

  checkState(): void {}

  diskOf(volume: string): string {
    return `disk-${volume}`;
  }

  async backups(): Promise<readonly FoundBackup[]> {
    return [...this.#world.backups.keys()].map((key) => {
      const [volume = '', engagement = ''] = key.split(' ');
      const text = this.#world.texts.get(key);
      return { volume, engagement, header: text === undefined ? null : (JSON.parse(text) as BackupHeader) };
    });
  }

  async keepHeader(header: BackupHeader): Promise<void> {
    this.#world.texts.set(`${header.volume} ${header.backup.engagement}`, JSON.stringify(header));
  }

  async examineBackup(volume: string, engagement: string): Promise<BackupFile> {
    const bytes = this.#backup(volume, engagement);
    return { bytes: bytes.length, digest: digestOf(bytes) };
  }

  #backup(volume: string, engagement: string): Buffer {
    const backup = this.#world.backups.get(`${volume} ${engagement}`);
    if (backup === undefined) throw new UnderstudyError('STORAGE_FAILED', `there is no backup of ${volume}`);
    return backup;
  }

  setVolumes(): void {}

  async open(): Promise<void> {}

  async start(recorded: () => Promise<Recorded>): Promise<void> {
    const { attached, unknown } = await recorded();
    for (const volume of this.#world.served) if (!unknown.includes(volume)) this.#world.served.delete(volume);
    for (const { volume } of attached) this.#world.served.add(volume);
  }

  #disk(volume: string): Buffer {
    const disk = this.#world.disks.get(volume);
    if (disk === undefined) throw new UnderstudyError('STORAGE_FAILED', `${volume} cannot be reached`);
    return disk;
  }

  async sizeOf(volume: string): Promise<number> {
    return this.#disk(volume).length;
  }

  async freeBytes(): Promise<number> {
    const used = [...this.#world.backups.values()].reduce((sum, { length }) => sum + length, 0);
    return this.#world.roomBytes - used;
  }

  uriOf(volume: string): string {
    return `memory:${volume}`;
  }

  problemOf(): string | null {
    return null;
  }

  readonly insecure = false;

  async renew(): Promise<readonly string[]> {
    return [];
  }

  pathOf(volume: string): string {
    return `/memory/${volume}`;
  }

  async serve(volume: string): Promise<void> {
    this.#world.served.add(volume);
  }

  async unserve(volume: string): Promise<void> {
    this.#world.onChange?.(volume, 'unserving');
    this.#world.served.delete(volume);
  }

  async snapshot(volume: string): Promise<Snapshot> {
    return new MemorySnapshot(this.#disk(volume));
  }

  async replicate(from: Snapshot, to: string, { signal, onProgress }: CopyJob): Promise<void> {
    const source = from instanceof MemorySnapshot ? from.bytes : Buffer.alloc(0);
    this.#overwrite(to, source, signal);
    onProgress({ bytesDone: source.length, bytesTotal: source.length });
  }

  #overwrite(volume: string, source: Buffer, signal: AbortSignal): void {
    if (signal.aborted) throw new UnderstudyError('INTERRUPTED', 'the copy was stopped');
    const { onChange } = this.#world;
    this.#disk(volume).fill(0);
    onChange?.(volume, 'written');
    source.copy(this.#disk(volume));
    onChange?.(volume, 'written');
  }

  async backup(volume: string, engagement: string, { signal, onProgress }: CopyJob): Promise<BackupFile> {
    if (signal.aborted) throw new UnderstudyError('INTERRUPTED', 'the copy was stopped');
    const disk = this.#disk(volume);
    const there = this.#world.backups.get(`${volume} ${engagement}`);
    if (there !== undefined) {
      if (!there.equals(disk)) throw new UnderstudyError('VOLUME_STATE', `another backup of ${volume} is there`);
      return { bytes: disk.length, digest: digestOf(disk) };
    }
    if (disk.length > (await this.freeBytes())) throw new UnderstudyError('STORAGE_SPACE', `${volume} does not fit`);
    this.#world.backups.set(`${volume} ${engagement}`, Buffer.from(disk));
    onProgress({ bytesDone: disk.length, bytesTotal: disk.length });
    return { bytes: disk.length, digest: digestOf(disk) };
  }

  async restore(volume: string, engagement: string, { signal }: CopyJob): Promise<string> {
    this.#overwrite(volume, this.#backup(volume, engagement), signal);
    return digestOf(this.#disk(volume));
  }

  async discard(volume: string, engagement: string): Promise<void> {
    this.#world.backups.delete(`${volume} ${engagement}`);
    this.#world.texts.delete(`${volume} ${engagement}`);
    this.#world.onChange?.(volume, 'discarded');
  }

  async flush(): Promise<void> {}

  async keepSecret(volume: string, text: string | null): Promise<void> {
    if (text === null) this.#world.secrets.delete(volume);
    else this.#world.secrets.set(volume, text);
  }

  async secretOf(volume: string): Promise<string | null> {
    return this.#world.secrets.get(volume) ?? null;
  }

  async close(): Promise<void> {}

  async shutdown(): Promise<void> {}
}
