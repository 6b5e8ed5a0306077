// What the daemon does for volumes: serves them to hosts, shows one moment of them, takes what overwrites them. Changes
// of the graph are made one at a time. When one fails half-way and cannot be taken back, the connection is closed: what
// follows is the same as after a crash, and removes everything that nobody wants (`settle`).
import { codeOf, formatBytes, messageOf, Turns, UnderstudyError } from '../../base/mod.ts';
import { baseOf, exportUri, nameOf, passingExportName } from '../names.ts';
import { type QmpConnection, type ServerAddress, startServer, stopServer, writtenEnd } from '../qmp/mod.ts';
import { StorageDaemon } from './daemon.ts';
import {
  clearVolume,
  closeVolume,
  dropSnapshot,
  endExport,
  exportSnapshot,
  exportVolume,
  insertSnapshot,
  Observed,
  type OverlayFile,
  openVolume,
  type VolumePlace,
} from './graph.ts';
import { dropOverlayName, freeBytesOf, makeOverlay, removeOverlays } from './overlay.ts';
import type { DaemonPaths } from './process.ts';

/** How long a call waits for a daemon that is being started again. */
const UP_TIMEOUT_MS = 30_000;
/** Below this a file system is as good as full. */
const FREE_BYTES_MIN = 4096 * 256;

/** A volume that a host has. */
export interface ServedPlace extends VolumePlace {
  /** Its NBD name. */
  readonly exportName: string;
}

export interface ServedOptions {
  readonly paths: DaemonPaths;
  /** Path of the Unix socket: hosts on this machine, copies and gateways. Nothing else reaches the daemon. */
  readonly socket: string;
  /** Who uses the exports of hosts: gateways, or the hosts themselves. When it changes, all exports are made again. */
  readonly audience: 'hosts' | 'gateways';
  /** Where overlays go. */
  readonly folder: string;
  readonly overlayBytesMax: number;
  /** The volumes that hosts have, as it is recorded, and those of which that is not known. */
  readonly recorded: () => Promise<{
    readonly attached: readonly ServedPlace[];
    readonly unknown: readonly VolumePlace[];
  }>;
  /** What is remembered of the daemon. */
  readonly memory: DaemonMemory;
  /** As of `DaemonOptions`. */
  readonly check?: () => void;
}

export interface DaemonMemory {
  /** A new daemon is about to be started; it has no NBD server yet. */
  started(): Promise<void>;
  /**
   * Where the NBD server of the daemon that runs listens, and for whom; null when it has none yet, '' when that is not
   * known.
   */
  address(): Promise<string | null>;
  keepAddress(address: string): Promise<void>;
}

/** A part of the graph for the time of one copy. */
export interface Passing {
  /** NBD URI. */
  readonly uri: string;
  /** Removes it. Idempotent; nothing to do when the daemon has died meanwhile. */
  end(): Promise<void>;
}

export interface ServedSnapshot extends Passing {
  /** Time of the one moment. */
  readonly takenAt: Date;
  /** False once it is known that it cannot be read any more. */
  readonly live: boolean;
  /** After reading it has failed: why, as far as that can be told. It is not live any more. */
  diagnose(cause: unknown): Promise<UnderstudyError>;
}

export class ServedVolumes {
  readonly #options: ServedOptions;
  readonly #turns = new Turns();
  readonly #problems = new Map<string, UnderstudyError>();
  /** Which snapshot of a volume the graph has: an old one must not remove its successor. */
  readonly #snapshots = new Map<string, ServedSnapshot>();
  readonly daemon: StorageDaemon;

  constructor(options: ServedOptions) {
    this.#options = options;
    this.daemon = new StorageDaemon({
      what: 'the storage daemon',
      paths: options.paths,
      ...(options.check === undefined ? {} : { check: options.check }),
      launch: async () => {
        await options.memory.started();
        return { args: [] };
      },
      settle: (qmp) => this.#turns.take(() => this.#settle(qmp)),
    });
  }

  get #address(): ServerAddress {
    return { kind: 'unix', path: this.#options.socket };
  }

  hostUri(volume: string): string {
    return exportUri(this.#address, volume);
  }

  /** Why an attached volume is not served at this moment; null when it is. */
  problemOf(volume: string): UnderstudyError | null {
    return this.#problems.get(volume) ?? null;
  }

  /**
   * Serves a volume to its host.
   * @param afresh an export that is there is ended first, so that no request of its clients is under way any more
   */
  async serve(place: VolumePlace, exportName: string, afresh = false): Promise<void> {
    try {
      await this.#change(baseOf(place.name), async (qmp) => {
        if (afresh) await endExport(qmp, baseOf(place.name), 'host');
        await openVolume(qmp, place);
        await exportVolume(qmp, place.name, 'host', exportName);
      });
      this.#problems.delete(place.name);
    } catch (error) {
      if (!(error instanceof UnderstudyError)) throw error;
      this.#problems.set(place.name, error);
      throw error;
    }
  }

  /** Cuts the host off; returns when no request of it is under way any more. */
  unserve({ name }: VolumePlace): Promise<void> {
    return this.#change(baseOf(name), async (qmp) => {
      await endExport(qmp, baseOf(name), 'host');
      this.#problems.delete(name);
    });
  }

  /** A way to overwrite a volume that no host has. */
  fill(place: VolumePlace): Promise<Passing> {
    const base = baseOf(place.name);
    const name = passingExportName(place.name, 'fill');
    return this.#change(base, async (qmp) => {
      await openVolume(qmp, place);
      await exportVolume(qmp, place.name, 'fill', name);
      return this.#passing(qmp, name, () => endExport(qmp, base, 'fill'));
    });
  }

  /** The volume as it is now, for reading, whoever writes it meanwhile. @throws STORAGE_SPACE, STORAGE_FAILED */
  async snapshot(place: VolumePlace, volumeBytes: number): Promise<ServedSnapshot> {
    const { folder, overlayBytesMax } = this.#options;
    const base = baseOf(place.name);
    return this.#change(base, async (qmp) => {
      // In its turn, because a new daemon's first one removes all overlays that have a name.
      const overlay = await makeOverlay({ folder, name: base, volumeBytes, boundBytesMax: overlayBytesMax });
      try {
        return await this.#insert(qmp, place, overlay);
      } finally {
        dropOverlayName(overlay.path);
      }
    });
  }

  async #insert(qmp: QmpConnection, place: VolumePlace, overlay: OverlayFile): Promise<ServedSnapshot> {
    const base = baseOf(place.name);
    const name = passingExportName(place.name, 'snap');
    await openVolume(qmp, place);
    await dropSnapshot(qmp, base);
    const takenAt = await insertSnapshot(qmp, base, overlay, () => dropOverlayName(overlay.path));
    await exportSnapshot(qmp, base, name);
    let broken = false;
    const passing = this.#passing(qmp, name, async () => {
      if (this.#snapshots.get(base) !== snapshot) return;
      this.#snapshots.delete(base);
      await dropSnapshot(qmp, base);
      await closeVolume(qmp, base);
    });
    const snapshot: ServedSnapshot = {
      ...passing,
      takenAt,
      get live() {
        return qmp.isOpen && !broken;
      },
      diagnose: (cause) => {
        broken = true;
        return this.#diagnose(qmp, place, overlay, cause);
      },
    };
    this.#snapshots.set(base, snapshot);
    return snapshot;
  }

  #passing(qmp: QmpConnection, name: string, remove: () => Promise<void>): Passing {
    let ended = false;
    return {
      uri: exportUri(this.#address, name),
      end: async () => {
        // With the connection everything that passes has gone.
        if (ended || !qmp.isOpen) return;
        ended = true;
        await this.#turns.take(async () => {
          try {
            if (qmp.isOpen) await remove();
          } catch (error) {
            qmp.close();
            throw error;
          }
        });
      },
    };
  }

  async #diagnose(
    qmp: QmpConnection,
    { name }: VolumePlace,
    overlay: OverlayFile,
    cause: unknown,
  ): Promise<UnderstudyError> {
    const failed = (why: string) => new UnderstudyError('STORAGE_FAILED', `${name}: ${why}`, { cause });
    if (!qmp.isOpen) return failed('the storage daemon went away');
    const tried = await writtenEnd(qmp, nameOf(baseOf(name), 'room'));
    const { boundBytes } = overlay;
    const full = tried !== null && tried > boundBytes;
    const freeBytes = await freeBytesOf(this.#options.folder);
    if (!full && freeBytes >= FREE_BYTES_MIN) {
      return failed(`it cannot be read, or the overlay of its snapshot is too slow or fails: ${messageOf(cause)}`);
    }
    const what = `${name}: its host overwrote more during the copy than the overlay of the snapshot may hold`;
    const sooner =
      'raise storage.backgroundRate where it is set, so that the copy ends sooner, or ask when it writes less';
    const message = full
      ? `${what}, which is ${formatBytes(boundBytes)}: raise storage.overlayMax; ${sooner}`
      : `${what}: only ${formatBytes(freeBytes)} are free in ${this.#options.folder}: make room there; ${sooner}`;
    return new UnderstudyError('STORAGE_SPACE', message, { cause, details: { boundBytes, freeBytes } });
  }

  /** One change of one volume's part of the graph, taken back when it fails. */
  async #change<T>(base: string, work: (qmp: QmpConnection) => Promise<T>): Promise<T> {
    await this.daemon.untilUp(UP_TIMEOUT_MS);
    return this.#turns.take(async () => {
      const { qmp } = this.daemon;
      try {
        return await work(qmp);
      } catch (error) {
        await this.#takeBack(qmp, base);
        throw error;
      }
    });
  }

  async #takeBack(qmp: QmpConnection, base: string): Promise<void> {
    if (!qmp.isOpen) return;
    try {
      const { attached, unknown } = await this.#options.recorded();
      await clearVolume(
        qmp,
        base,
        [...attached, ...unknown].some(({ name }) => baseOf(name) === base),
      );
    } catch (error) {
      if (codeOf(error) === null) throw error;
      qmp.close();
    }
  }

  /**
   * The graph that is recorded, and nothing else. A volume that cannot be served does not keep others from being
   * served.
   */
  async #settle(qmp: QmpConnection): Promise<void> {
    const { recorded, audience, folder, memory } = this.#options;
    const { attached: places, unknown } = await recorded();
    const last = await memory.address();
    const wantedAddress = `${exportUri(this.#address, '')}${audience === 'hosts' ? '' : ` ${audience}`}`;
    // Where it is not known, hosts that are connected stay so.
    if (last !== wantedAddress && last !== '') await stopServer(qmp);
    const wanted = new Set([...places, ...unknown].map(({ name }) => baseOf(name)));
    for (const base of (await Observed.of(qmp)).bases) await clearVolume(qmp, base, wanted.has(base));
    removeOverlays(folder);
    await startServer(qmp, this.#options.socket);
    if (last !== wantedAddress) await memory.keepAddress(wantedAddress);
    this.#snapshots.clear();
    this.#problems.clear();
    for (const place of places) {
      try {
        await openVolume(qmp, place);
        await exportVolume(qmp, place.name, 'host', place.exportName);
      } catch (error) {
        if (codeOf(error) === null || !qmp.isOpen) throw error;
        const message = `${place.name} cannot be served: ${messageOf(error)}`;
        this.#problems.set(place.name, new UnderstudyError('STORAGE_FAILED', message, { cause: error }));
      }
    }
  }
}
