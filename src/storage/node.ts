// The storage node: decides, remembers, and lets a backend do the work. Every operation first asks the epoch gate, then
// who else works on the volume, then what the volume holds; what it is about to do is in the store before it is done.
import { setTimeout as delay } from 'node:timers/promises';
import { type Call, codeOf, type EpochGate, messageOf, Turns, UnderstudyError, withinTime } from '../base/mod.ts';
import type { HostIdentity, IdentityEngine, Inspection, Plan } from '../identity/mod.ts';
import type { Store } from '../store/mod.ts';
import type { Backend, CopyJob } from './backend.ts';
import { clearStep, discardBackup, makeBackup, restoreBackup } from './backup.ts';
import { Claims } from './claims.ts';
import { asOperatingError, type NodeContext, namingVolume, stateError } from './context.ts';
import type {
  Backup,
  CopyProgress,
  InstallationFloor,
  PersonaliseRequest,
  ReplicateRequest,
  StorageNode,
  StorageStatus,
  VolumeStatus,
} from './contract.ts';
import { introduce, StateLost } from './introduction.ts';
import { personalise } from './personalise.ts';
import { Records, type VolumeRecord } from './records.ts';
import { replicate } from './replicate.ts';
import { SharedSnapshots } from './shared-snapshots.ts';
import { type FoundBackup, Stamps } from './stamps/mod.ts';
import { refuseSameStorage, type VolumeName } from './volume-list.ts';

/** Of a change that moves no content. The daemon's own answers are waited for up to a minute. */
const CHANGE_TIMEOUT_MS = 180_000;
/** Of everything that moves content. */
const COPY_TIMEOUT_MS = 24 * 3_600_000;
const PERSONALISE_TIMEOUT_MS = 1_800_000;
/** How long a stopped call waits for its work to end. */
const FAREWELL_MS_MAX = 10_000;

export interface NodeOptions {
  /** Of the node; part of keys in the store. */
  readonly name: string;
  /** In the order in which `status` tells them. */
  readonly volumes: readonly string[];
  readonly store: Store;
  readonly gate: EpochGate;
  readonly identity: IdentityEngine;
  readonly backend: Backend;
}

/** A node of this process. */
export interface LocalStorageNode extends StorageNode {
  readonly floor: InstallationFloor;
  /**
   * To be called when certificates have changed: the gateways concerned are started again, one after the other, and
   * their hosts connect again. What cannot be used is told by the status of the volumes. @returns those hosts
   */
  renewCertificates(): Promise<readonly string[]>;
  /**
   * Takes the volumes of another configuration. One that goes, or lies elsewhere from now on, must be attached to no
   * host and hold its own host's data. @throws CONFIG_INVALID when two are the same storage; nothing has changed then
   */
  setVolumes(volumes: readonly VolumeName[]): Promise<void>;
  /** Stops what is under way, and ends our side; what hosts have goes on. Idempotent. */
  close(): Promise<void>;
  /** The same, and ends the daemon that serves the hosts, in good order. */
  shutdown(): Promise<void>;
}

export class NodeOfBackend implements LocalStorageNode {
  readonly #options: NodeOptions;
  readonly #context: NodeContext;
  readonly #ending = new AbortController();
  readonly #underWay = new Set<Promise<unknown>>();
  /** Attaching and detaching one volume, one after the other. */
  readonly #turns = new Map<string, Turns>();
  /** Volumes whose record could not be used at the start; until the next one nothing is done with them. */
  readonly #flaws = new Map<string, UnderstudyError>();
  #volumes: readonly string[];

  /** Hosts that have volumes, as stamps say where the store is lost. */
  readonly #stamped = new Map<string, string>();

  constructor(options: NodeOptions, records = new Records(options.store, options.name, stampsOf(options.backend))) {
    this.#options = options;
    const { backend, identity } = options;
    this.#volumes = options.volumes;
    const snapshots = new SharedSnapshots((volume) => backend.snapshot(volume));
    this.#context = { backend, records, claims: new Claims(), snapshots, identity };
  }

  /** Makes the world what is recorded, and removes what an earlier life left. */
  async start(): Promise<void> {
    const { backend } = this.#context;
    const volumes = this.#volumes;
    await backend.open();
    try {
      const { epoch } = await this.#context.records.stamps.floor();
      const backups = await backend.backups();
      for (const volume of volumes) await this.#introduce(volume, backups, epoch > 0);
      await backend.start(async () => {
        const all = await Promise.all(volumes.map(async (name) => ({ name, record: await this.#recordOf(name) })));
        return {
          attached: all.flatMap(({ name, record }) => {
            const host = 'attachedTo' in record ? record.attachedTo : (this.#stamped.get(name) ?? null);
            return host === null ? [] : [{ volume: name, host }];
          }),
          unknown: all.flatMap(({ name, record }) => {
            return record instanceof UnderstudyError && !this.#stamped.has(name) ? [name] : [];
          }),
        };
      });
      for (const volume of volumes) {
        if ('step' in (await this.#recordOf(volume))) await clearStep(this.#context, volume);
      }
    } catch (error) {
      await backend.close();
      throw asOperatingError(`start the storage node ${this.#options.name}`, error);
    }
  }

  async setVolumes(volumes: readonly VolumeName[]): Promise<void> {
    const { backend } = this.#context;
    refuseSameStorage(volumes);
    const before = new Map(this.#volumes.map((name) => [name, backend.pathOf(name)]));
    const backups = await backend.backups();
    backend.setVolumes(volumes);
    this.#volumes = volumes.map(({ name }) => name);
    for (const { name, path } of volumes) {
      if (before.get(name) === path) continue;
      this.#flaws.delete(name);
      await this.#introduce(name, backups, true);
    }
  }

  /** The record, or why it cannot be used. */
  async #recordOf(volume: string): Promise<VolumeRecord | UnderstudyError> {
    const flaw = this.#flaws.get(volume);
    if (flaw !== undefined) return flaw;
    try {
      return await this.#context.records.volume(volume);
    } catch (error) {
      if (codeOf(error) !== 'RECORD_UNUSABLE') throw error;
      return error as UnderstudyError;
    }
  }

  /** One whose record cannot be used, or does not agree with its stamp, keeps no other from being served. */
  async #introduce(volume: string, backups: readonly FoundBackup[], stamped: boolean): Promise<void> {
    try {
      await introduce(this.#context, volume, { backups, stamped, sizeBytes: await this.#sizeOf(volume) });
    } catch (error) {
      if (error instanceof StateLost && error.host !== null) this.#stamped.set(volume, error.host);
      const code = codeOf(error);
      if (code !== 'RECORD_UNUSABLE' && code !== 'STATE_LOST') throw error;
      this.#flaws.set(volume, error as UnderstudyError);
    }
  }

  async #sizeOf(volume: string): Promise<number | null> {
    try {
      return await this.#context.backend.sizeOf(volume);
    } catch (error) {
      // Told by `status`, and by whatever needs the volume.
      if (!(error instanceof UnderstudyError)) throw error;
      return null;
    }
  }

  async status(): Promise<StorageStatus> {
    const { backend } = this.#context;
    const volumes = await Promise.all(this.#volumes.map((name) => this.#statusOf(name)));
    const { daemon, insecure } = backend;
    const { unsettled } = await this.floor.read();
    return { name: this.#options.name, daemon, insecure, volumes, freeBytes: await backend.freeBytes(), unsettled };
  }

  async #statusOf(name: string): Promise<VolumeStatus> {
    const { backend } = this.#context;
    const record = await this.#recordOf(name);
    const found = await this.#sizeOf(name);
    if (record instanceof UnderstudyError) {
      const nothing = { generation: 0, content: { kind: 'unknown' as const }, attachment: null, backups: [] };
      return { name, path: backend.pathOf(name), sizeBytes: found ?? 0, problem: messageOf(record), ...nothing };
    }
    const { path, generation, content, attachedTo, backups, sizeBytes } = record;
    const unserved = attachedTo === null ? null : backend.problemOf(name, attachedTo);
    const problem = unserved ?? (found === null ? `${path} cannot be reached` : null);
    const attachment = attachedTo === null ? null : { host: attachedTo, uri: backend.uriOf(name, attachedTo) };
    return { name, path, sizeBytes: found ?? sizeBytes, generation, content, attachment, problem, backups };
  }

  async attach(volume: string, host: string, call: Call): Promise<{ readonly uri: string }> {
    const { backend, records, claims } = this.#context;
    return this.#operate(`attach ${volume} to ${host}`, volume, call, CHANGE_TIMEOUT_MS, (signal) =>
      this.#turnsOf(volume).take(async () => {
        const release = claims.read(volume, `attaching to ${host}`);
        try {
          signal.throwIfAborted();
          await records.change(volume, (record) => {
            mayAttach(volume, record, host);
            return { attachedTo: host };
          });
          await backend.serve(volume, host);
          return { uri: backend.uriOf(volume, host) };
        } finally {
          release();
        }
      }),
    );
  }

  async detach(volume: string, call: Call): Promise<void> {
    const { backend, records } = this.#context;
    return this.#operate(`detach ${volume}`, volume, call, CHANGE_TIMEOUT_MS, (signal) =>
      this.#turnsOf(volume).take(async () => {
        const { attachedTo } = await records.volume(volume);
        if (attachedTo === null) return;
        signal.throwIfAborted();
        // Recorded after it is done: whoever reads that nobody has the volume may write it.
        await backend.unserve(volume, attachedTo);
        await records.change(volume, () => ({ attachedTo: null }));
      }),
    );
  }

  backup(volume: string, engagement: string, call: Call, onProgress = ignoreProgress): Promise<Backup> {
    return this.#operate(`back ${volume} up for ${engagement}`, volume, call, COPY_TIMEOUT_MS, (signal) =>
      makeBackup(this.#context, volume, engagement, jobOf(signal, onProgress)),
    );
  }

  replicate(request: ReplicateRequest, call: Call): Promise<{ readonly takenAt: string }> {
    const { from, to, onProgress = ignoreProgress } = request;
    return this.#operate(`replicate ${from} to ${to}`, to, call, COPY_TIMEOUT_MS, async (signal) => {
      const flaw = this.#flaws.get(from);
      if (flaw !== undefined) throw flaw;
      return replicate(this.#context, request, jobOf(signal, onProgress));
    });
  }

  inspect(volume: string, lead: HostIdentity, call: Call): Promise<Inspection> {
    const { snapshots, identity, claims } = this.#context;
    return this.#operate(`inspect ${volume}`, volume, call, PERSONALISE_TIMEOUT_MS, async (signal) => {
      const release = claims.read(volume, 'an inspection');
      try {
        return await snapshots.read(volume, ({ image }) =>
          identity.inspect(image, lead, signal).catch((error: unknown) => {
            throw namingVolume(error, image, volume);
          }),
        );
      } finally {
        release();
      }
    });
  }

  personalise(request: PersonaliseRequest, call: Call): Promise<Plan> {
    const { volume, host } = request;
    return this.#operate(`personalise ${volume} for ${host}`, volume, call, PERSONALISE_TIMEOUT_MS, (signal) =>
      personalise(this.#context, request, signal),
    );
  }

  restore(volume: string, engagement: string, call: Call, onProgress = ignoreProgress): Promise<void> {
    return this.#operate(`restore ${volume} for ${engagement}`, volume, call, COPY_TIMEOUT_MS, (signal) =>
      restoreBackup(this.#context, volume, engagement, jobOf(signal, onProgress)),
    );
  }

  discard(volume: string, engagement: string, call: Call): Promise<void> {
    return this.#operate(`discard ${engagement} of ${volume}`, volume, call, CHANGE_TIMEOUT_MS, () =>
      discardBackup(this.#context, volume, engagement),
    );
  }

  readonly floor: InstallationFloor = {
    read: () => this.#context.records.stamps.floor(),
    raise: (to) => this.#context.records.stamps.raise(to),
    unsettle: (why) => this.#context.records.stamps.unsettle(why),
  };

  renewCertificates(): Promise<readonly string[]> {
    return this.#context.backend.renew();
  }

  async close(): Promise<void> {
    await this.#settle();
    await this.#context.backend.close();
  }

  async shutdown(): Promise<void> {
    await this.#settle();
    await this.#context.backend.shutdown();
  }

  async #settle(): Promise<void> {
    this.#ending.abort();
    await Promise.allSettled(this.#underWay);
  }

  #turnsOf(volume: string): Turns {
    const turns = this.#turns.get(volume) ?? new Turns();
    this.#turns.set(volume, turns);
    return turns;
  }

  /** One call: known volume, epoch, time-out, interruption, and errors of the system in our words. */
  async #operate<T>(
    what: string,
    volume: string,
    call: Call,
    timeoutMs: number,
    work: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const signal = AbortSignal.any([call.signal, this.#ending.signal]);
    const limit = { timeoutMs, code: 'STORAGE_FAILED', what: () => what } as const;
    let ended: Promise<void> = Promise.resolve();
    try {
      return await withinTime(limit, signal, (inner) => {
        const operation = this.#admitted(what, volume, call, inner, work);
        ended = operation.then(
          () => {},
          () => {},
        );
        this.#underWay.add(ended);
        void ended.then(() => this.#underWay.delete(ended));
        return operation;
      });
    } catch (error) {
      // What was stopped puts its things away: the next call would find the volume busy.
      await Promise.race([ended, delay(FAREWELL_MS_MAX, undefined, { ref: false })]);
      throw error;
    }
  }

  async #admitted<T>(
    what: string,
    volume: string,
    { epoch }: Call,
    signal: AbortSignal,
    work: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    try {
      if (!this.#volumes.includes(volume)) {
        throw new UnderstudyError('VOLUME_UNKNOWN', `the storage node has no volume "${volume}"`);
      }
      const flaw = this.#flaws.get(volume);
      if (flaw !== undefined) throw flaw;
      this.#context.backend.checkState();
      await this.#options.gate.admit(`volume/${volume}`, epoch);
      this.#context.records.stamps.saw(epoch);
      signal.throwIfAborted();
      return await work(signal);
    } catch (error) {
      throw asOperatingError(what, error);
    }
  }
}

function stampsOf(backend: Backend): Stamps {
  return new Stamps({
    texts: backend.stamps,
    diskOf: (volume) => backend.diskOf(volume),
    pathOf: (volume) => backend.pathOf(volume),
  });
}

/** @throws VOLUME_ATTACHED, VOLUME_STATE */
function mayAttach(volume: string, { attachedTo, content }: VolumeRecord, host: string): void {
  if (attachedTo !== null && attachedTo !== host) {
    throw new UnderstudyError('VOLUME_ATTACHED', `${volume} is attached to ${attachedTo}`);
  }
  if (content.kind === 'own') return;
  if (content.kind === 'unfinished') throw stateError(volume, content, 'nobody may boot that');
  if (content.identityOf !== host) throw stateError(volume, content, `it has not been given the identity of ${host}`);
}

function jobOf(signal: AbortSignal, onProgress: (progress: CopyProgress) => void): CopyJob {
  return { signal, onProgress };
}

const ignoreProgress: (progress: CopyProgress) => void = () => {};
