// What the node remembers of each volume, in the store: the wanted graph (who has it), what it holds, what is under
// way. One record a volume, one writer: the node that holds the lock of the state folder.
import { assert, codeOf, UnderstudyError } from '../base/mod.ts';
import { type Store, update } from '../store/mod.ts';
import type { Backup, VolumeContent } from './contract.ts';
import type { GatewayMemory, GatewayRecord } from './gateway/mod.ts';
import { storageRecordFlaw } from './record-flaw.ts';
import { type BackupHeader, type Stamps, sameState } from './stamps/mod.ts';

export interface VolumeRecord {
  readonly path: string;
  /** As it was last seen. */
  readonly sizeBytes: number;
  readonly generation: number;
  readonly content: VolumeContent;
  /** Host that has it. */
  readonly attachedTo: string | null;
  readonly backups: readonly Backup[];
  /**
   * A file that is being made or deleted; after a crash whatever is there of it is deleted. Overwriting shows in
   * `content`.
   */
  readonly step: { readonly kind: 'backup' | 'discard'; readonly engagement: string } | null;
}

export interface DaemonRecord {
  /** Daemons that were started for this node, and how many of them were ended in good order. */
  readonly starts: number;
  readonly shutdowns: number;
  /** Of its NBD server, and for whom it is; null when it has none yet, '' when that is not known. */
  readonly address: string | null;
}

const NO_DAEMON: DaemonRecord = { starts: 0, shutdowns: 0, address: null };
/** Instead of one that cannot be used: whatever daemon is found is taken over as it is. */
const UNKNOWN_DAEMON: DaemonRecord = { ...NO_DAEMON, address: '' };

export class Records {
  readonly #store: Store;
  readonly #daemonKey: string;
  /** The daemon's record of this life, where the one in the store cannot be used. */
  #instead: DaemonRecord = UNKNOWN_DAEMON;
  readonly #gatewaysKey: string;
  /** What is recorded here of a volume is said by its stamp first. */
  readonly stamps: Stamps;
  /** The store is not the one of this installation: what it does not know may be all the same. */
  isLost = false;

  constructor(store: Store, node: string, stamps: Stamps) {
    this.#store = store;
    this.stamps = stamps;
    this.#daemonKey = `storage/daemon/${node}`;
    this.#gatewaysKey = `storage/gateways/${node}`;
  }

  /** @throws VOLUME_UNKNOWN, RECORD_UNUSABLE */
  async volume(name: string): Promise<VolumeRecord> {
    const found = await this.find(name);
    if (found === null) throw new UnderstudyError('VOLUME_UNKNOWN', `there is no volume "${name}"`);
    return found;
  }

  /** null: there is none. @throws RECORD_UNUSABLE */
  async find(name: string): Promise<VolumeRecord | null> {
    const found = await this.#store.get<VolumeRecord>(volumeKey(name));
    return found === null ? null : usable(volumeKey(name), found.value);
  }

  /** Makes the record of a volume that is new here, or changes the one there is. */
  async settle(name: string, change: (record: VolumeRecord | null) => VolumeRecord): Promise<VolumeRecord> {
    const key = volumeKey(name);
    const settled = await update<VolumeRecord>(this.#store, key, (value) =>
      change(value === null ? null : usable(key, value)),
    );
    assert(settled !== null, 'records of volumes are never deleted');
    return settled.value;
  }

  /** Durable when it resolves, and said by the stamp of the volume before. @throws EPOCH_STALE */
  async change(name: string, change: (record: VolumeRecord) => Partial<VolumeRecord>): Promise<VolumeRecord> {
    const record = await update<VolumeRecord>(this.#store, volumeKey(name), async (value) => {
      if (value === null) throw new UnderstudyError('VOLUME_UNKNOWN', `there is no volume "${name}"`);
      const next = { ...value, ...change(usable(volumeKey(name), value)) };
      if (!sameState(value, next)) await this.stamps.keep(name, value, next);
      return next;
    });
    assert(record !== null, 'records of volumes are never deleted');
    return record.value;
  }

  async daemon(): Promise<DaemonRecord> {
    try {
      const found = await this.#store.get<DaemonRecord>(this.#daemonKey);
      return found === null ? this.#noDaemon : usable(this.#daemonKey, found.value);
    } catch (error) {
      if (codeOf(error) !== 'RECORD_UNUSABLE') throw error;
      return this.#instead;
    }
  }

  /** Of a backup of this volume. */
  async headerOf(name: string, backup: Backup): Promise<BackupHeader> {
    const { path } = await this.volume(name);
    const { epoch } = await this.stamps.floor();
    return { format: 1, volume: name, path, disk: this.stamps.diskOf(name), epoch, backup };
  }

  get #noDaemon(): DaemonRecord {
    return this.isLost ? UNKNOWN_DAEMON : NO_DAEMON;
  }

  async changeDaemon(change: (record: DaemonRecord) => Partial<DaemonRecord>): Promise<void> {
    try {
      await update<DaemonRecord>(this.#store, this.#daemonKey, (value) => {
        const record = value === null ? this.#noDaemon : usable(this.#daemonKey, value);
        return { ...record, ...change(record) };
      });
    } catch (error) {
      if (codeOf(error) !== 'RECORD_UNUSABLE') throw error;
      this.#instead = { ...this.#instead, ...change(this.#instead) };
    }
  }

  /** Kept beside the stamps as well: a host finds its gateway by a port that its machine was told once. */
  readonly gateways: GatewayMemory = {
    read: async () => {
      const found = await this.#store.get<Readonly<Record<string, GatewayRecord>>>(this.#gatewaysKey);
      const recorded = found === null ? null : usable(this.#gatewaysKey, found.value);
      const kept = await this.stamps.gateways((value) => storageRecordFlaw(this.#gatewaysKey, value));
      return (kept as Readonly<Record<string, GatewayRecord>> | null) ?? recorded ?? {};
    },
    write: async (gateways) => {
      await this.stamps.keepGateways(gateways);
      await update(this.#store, this.#gatewaysKey, () => gateways);
    },
  };
}

export function volumeKey(name: string): string {
  return `storage/volume/${name}`;
}

/** @throws RECORD_UNUSABLE */
function usable<T>(key: string, value: T): T {
  const flaw = storageRecordFlaw(key, value);
  if (flaw !== null) throw new UnderstudyError('RECORD_UNUSABLE', `the record ${key} cannot be used: ${flaw}`);
  return value;
}
