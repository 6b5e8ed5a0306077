// The disks of the simulation: the storage node itself over disks in memory, the same that pass its suite, small ones.
// What lies on a disk is whose data it has, and who it says it is.
import { type EpochGate, present } from '../../src/base/mod.ts';
import type { IdentityEngine } from '../../src/identity/mod.ts';
import type { StorageNode } from '../../src/storage/mod.ts';
import { NodeOfBackend } from '../../src/storage/node.ts';
import { memoryStore, type Store } from '../../src/store/mod.ts';
import { keysIn, type MarkDisk, markIdentity, markOf } from '../support/mark-identity.ts';
import { MemoryBackend, type MemoryDisks } from '../support/memory-backend.ts';

const MARK_AT = 64;
const ROOM_BYTES = 1e6;

type OnChange = NonNullable<MemoryDisks['onChange']>;

/** What lies on a disk: whose data, who its host says it is, and the SSH host keys that it shows. */
export interface Disk {
  readonly data: string;
  readonly identity: string;
  readonly keys: readonly string[];
}

export class SimulatedDisks {
  /** Volumes on which an identity is not kept as it was written. */
  readonly stubborn = new Set<string>();
  /** For the controller. Its methods can be replaced by a test's. */
  readonly exposed: StorageNode;
  readonly #owners: ReadonlyMap<string, string>;
  readonly #world: MemoryDisks;
  readonly #gate: EpochGate;
  readonly #identity: IdentityEngine;
  #node: NodeOfBackend;

  /** @param owners hosts by their volume @param store of the node's own records */
  constructor(owners: ReadonlyMap<string, string>, gate: EpochGate, onChange: OnChange, store: Store = memoryStore()) {
    this.#owners = owners;
    this.#gate = gate;
    const disks = new Map([...owners].map(([volume, host]) => [volume, diskOf(host)]));
    const texts = new Map<string, string>();
    const memory = { backups: new Map(), secrets: new Map(), served: new Set<string>(), roomBytes: ROOM_BYTES, texts };
    this.#world = { disks, ...memory, onChange };
    const marks: MarkDisk = {
      read: (image) => Buffer.from(this.#bytes(volumeOf(image)).subarray(MARK_AT)),
      write: (image, mark) => {
        if (this.stubborn.has(volumeOf(image))) return;
        mark.copy(this.#bytes(volumeOf(image)), MARK_AT);
        onChange(volumeOf(image), 'written');
      },
    };
    this.#identity = markIdentity(marks);
    this.#node = this.#nodeOn(store);
    this.exposed = {
      status: () => this.#node.status(),
      attach: (...args) => this.#node.attach(...args),
      detach: (...args) => this.#node.detach(...args),
      backup: (...args) => this.#node.backup(...args),
      replicate: (...args) => this.#node.replicate(...args),
      inspect: (...args) => this.#node.inspect(...args),
      personalise: (...args) => this.#node.personalise(...args),
      restore: (...args) => this.#node.restore(...args),
      discard: (...args) => this.#node.discard(...args),
    };
  }

  #nodeOn(store: Store): NodeOfBackend {
    return new NodeOfBackend({
      name: 'sim',
      volumes: [...this.#owners.keys()],
      store,
      gate: this.#gate,
      identity: this.#identity,
      backend: new MemoryBackend(this.#world),
    });
  }

  start(): Promise<void> {
    return this.#node.start();
  }

  /** The node's process ends, and another begins with what is in the store. */
  async restart(store: Store): Promise<void> {
    await this.#node.close();
    this.#node = this.#nodeOn(store);
    await this.#node.start();
  }

  get volumes(): readonly string[] {
    return [...this.#owners.keys()];
  }

  ownerOf(volume: string): string {
    return present(this.#owners.get(volume), volume);
  }

  /** Half a copy is nobody's. */
  bytesOf(volume: string): Disk {
    return read(this.#bytes(volume));
  }

  isServed(volume: string): boolean {
    return this.#world.served.has(volume);
  }

  backupsOf(volume: string): number {
    return this.#backups(volume).length;
  }

  /** The last bit of each backup of a volume is another one: neither whose data it is changes, nor who its host is. */
  spoilBackups(volume: string): void {
    for (const bytes of this.#backups(volume))
      bytes.writeUInt8(bytes.readUInt8(bytes.length - 1) ^ 1, bytes.length - 1);
  }

  /** On the disk itself, or in a backup of it. */
  hasOwnData(volume: string): boolean {
    const copies = [this.#bytes(volume), ...this.#backups(volume)];
    return copies.some((bytes) => read(bytes).data === this.ownerOf(volume));
  }

  #bytes(volume: string): Buffer {
    return present(this.#world.disks.get(volume), volume);
  }

  #backups(volume: string): readonly Buffer[] {
    return [...this.#world.backups].filter(([key]) => key.startsWith(`${volume} `)).map(([, bytes]) => bytes);
  }
}

function diskOf(host: string): Buffer {
  const mark = markOf(host);
  const disk = Buffer.alloc(MARK_AT + mark.length);
  disk.write(host);
  mark.copy(disk, MARK_AT);
  return disk;
}

function read(bytes: Buffer): Disk {
  const data = bytes.toString('utf8', 0, MARK_AT).replaceAll('\0', '');
  const mark = bytes.toString('utf8', MARK_AT);
  return { data, identity: /^I am (\S+) /.exec(mark)?.[1] ?? '', keys: keysIn(mark) };
}

/** The backend's path of a volume. */
function volumeOf(image: string): string {
  return image.replace('/memory/', '');
}
