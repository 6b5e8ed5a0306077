// An installation whose store can be lost at any phase: the real controller, the real storage node with
// qemu-storage-daemon on real files, and power, network and director in memory.
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { recoverState } from '../../bin/recover.ts';
import { codeOf, type EpochGate, UnderstudyError } from '../../src/base/mod.ts';
import type { Recovered } from '../../src/cli/mod.ts';
import type { Configuration, Mode } from '../../src/config/mod.ts';
import { type Controller, type Phase, startController } from '../../src/controller/mod.ts';
import { FakeDirector } from '../../src/director/mod.ts';
import { FakeMetrics } from '../../src/metrics/mod.ts';
import { FakePower } from '../../src/power/mod.ts';
import { createStorageNode, gateAboveFloor, type LocalStorageNode, stampsIn } from '../../src/storage/mod.ts';
import { openSqliteStore, type Store, storeEpochGate } from '../../src/store/mod.ts';
import { service, config as simulated } from '../sim/installation.ts';
import { keysIn, MARK_OFFSET, markIdentity, markOf, readMark } from '../support/mark-identity.ts';

const MIB = 1024 * 1024;
const HOSTS = ['web1', 'spare1', 'spare2'];
const OVERLAY_BYTES = 16 * MIB;

/** What becomes of the store. */
export const losses = ['deleted', 'emptied', 'garbage', 'cut', 'older', 'state removed'] as const;
export type Loss = (typeof losses)[number];

/** One life of the controller and all that it has open. */
export interface Up {
  readonly controller: Controller;
  readonly storage: LocalStorageNode;
  /** What its drivers ask. */
  readonly gate: EpochGate;
  /** Dies: nothing is written to the store any more. */
  kill(): void;
  end(): Promise<void>;
}

export class LostStore {
  readonly folder = mkdtempSync(join(tmpdir(), 'ustl-'));
  readonly config: Configuration;
  readonly #on = new Set<string>();
  /** Who was switched on, in order. */
  readonly started: string[] = [];
  #told: ((phase: Phase) => void) | null = null;
  #ups: Up[] = [];

  constructor(mode: Mode = 'automatic') {
    const state = join(this.folder, 'state');
    const hosts = new Map([...simulated.hosts].filter(([name]) => HOSTS.includes(name)));
    const volumes = HOSTS.map((name) => [name, { name, path: this.volume(name) }] as const);
    this.config = {
      ...simulated,
      state,
      storage: { ...simulated.storage, folder: join(this.folder, 'storage'), overlayBytesMax: OVERLAY_BYTES },
      volumes: new Map(volumes),
      hosts,
      services: new Map([['wiki', { ...service('wiki', 'web1', ['spare1', 'spare2']), mode }]]),
    };
    mkdirSync(state);
    for (const name of HOSTS) writeFileSync(this.volume(name), contentOf(name));
  }

  volume(name: string): string {
    return join(this.folder, `${name}.img`);
  }

  bytes(name: string): Buffer {
    return readFileSync(this.volume(name));
  }

  get store(): string {
    return join(this.config.state, 'store.db');
  }

  isOn(host: string): boolean {
    return this.#on.has(host);
  }

  /** From now on told of each phase in which an engagement is recorded. */
  watch(told: (phase: Phase) => void): void {
    this.#told = told;
  }

  async up(): Promise<Up> {
    mkdirSync(this.config.state, { recursive: true });
    const opened = await openSqliteStore(this.store);
    const life = { dead: false };
    const store = this.#mortal(opened, life);
    let storage: LocalStorageNode;
    try {
      storage = await this.#storageOn(store);
    } catch (error) {
      await opened.close();
      throw error;
    }
    const gate = gateAboveFloor(storeEpochGate(store), () => storage.floor.read());
    try {
      const controller = await this.#controllerOn(store, storage, gate);
      const up: Up = {
        controller,
        storage,
        gate,
        kill: () => {
          life.dead = true;
        },
        end: async () => {
          await controller.stop();
          await storage.close();
          await opened.close();
        },
      };
      this.#ups.push(up);
      return up;
    } catch (error) {
      await storage.close();
      await opened.close();
      throw error;
    }
  }

  #storageOn(store: Store): Promise<LocalStorageNode> {
    const { storage, volumes, state } = this.config;
    return createStorageNode({
      name: 'storage',
      folder: storage.folder,
      stateFolder: join(state, 'node'),
      volumes: [...volumes.values()],
      listen: { kind: 'unix' },
      store,
      gate: storeEpochGate(store),
      identity: markIdentity(),
      backgroundRate: null,
      overlayBytesMax: OVERLAY_BYTES,
    });
  }

  #controllerOn(store: Store, storage: LocalStorageNode, gate: EpochGate): Promise<Controller> {
    const power = new FakePower({ hosts: HOSTS, gate, onChange: (host, on) => this.#switched(host, on) });
    for (const host of this.#on) power.set(host, true);
    const web1 = this.config.hosts.get('web1')?.address ?? '';
    return startController({
      config: this.config,
      store,
      storage,
      floor: storage.floor,
      power: new Map([['sim', power]]),
      directors: new Map([
        [
          'sim',
          new FakeDirector({
            services: { wiki: [{ name: 'web1', address: web1, port: 80, traffic: 'all' }] },
            gate,
            responseMs: () => 1,
          }),
        ],
      ]),
      network: {
        holders: async () => [],
        check: async () => ({ ok: true, detail: 'answers', milliseconds: 1 }),
        sshHostKeys: async () => keysIn(readMark(this.volume('spare1'))),
      },
      metrics: new FakeMetrics(),
      agentSecret: async () => null,
      wall: () => Date.now(),
      // Time flies, so that waiting for a second look costs nothing.
      pause: (ms, signal) => delay(Math.min(ms, 20), undefined, { signal }).catch(() => undefined),
      log: () => undefined,
      holder: 'one',
    });
  }

  #switched(host: string, on: boolean): void {
    if (on && !this.#on.has(host)) this.started.push(host);
    if (on) this.#on.add(host);
    else this.#on.delete(host);
  }

  #mortal(store: Store, life: { dead: boolean }): Store {
    return new Proxy(store, {
      get: (target, property) => {
        const value = Reflect.get(target, property, target) as unknown;
        if (typeof value !== 'function') return value;
        if (property !== 'put') return value.bind(target);
        return async (key: string, written: { phase?: Phase; ended?: boolean }, expected: number) => {
          if (life.dead) throw new UnderstudyError('STORE_FAILED', 'the process is dead');
          const revision = await target.put(key, written, expected);
          if (key.startsWith('engagement/') && written.ended === false && written.phase !== undefined) {
            this.#told?.(written.phase);
          }
          return revision;
        };
      },
    });
  }

  /** The store's files as they are now, for a later `lose`. By another process: SQLite's locks are this one's. */
  keepCopy(name: string): void {
    const to = join(this.folder, 'copies', name);
    mkdirSync(to, { recursive: true });
    for (const end of ['', '-wal', '-shm']) {
      execFileSync('sh', ['-c', `test ! -e "$0" || cp "$0" "$1"`, `${this.store}${end}`, join(to, `store.db${end}`)]);
    }
  }

  /** @param copy that is put in its place, for 'older' */
  lose(loss: Loss, copy: string): void {
    if (loss === 'state removed') {
      rmSync(this.config.state, { recursive: true, force: true });
      return;
    }
    const size = readFileSync(this.store).length;
    for (const end of ['', '-wal', '-shm']) rmSync(`${this.store}${end}`, { force: true });
    if (loss === 'emptied') writeFileSync(this.store, '');
    if (loss === 'garbage') writeFileSync(this.store, randomBytes(size));
    if (loss === 'cut') writeFileSync(this.store, Buffer.concat([Buffer.from('SQLite format 3\0'), randomBytes(99)]));
    if (loss === 'older') {
      execFileSync('sh', ['-c', `cp "$0"/* "$1"`, join(this.folder, 'copies', copy), this.config.state]);
    }
  }

  recover(options: { keep?: readonly string[]; restore?: readonly string[] } = {}): Promise<Recovered> {
    const { keep = [], restore = [] } = options;
    const signal = new AbortController().signal;
    mkdirSync(this.config.state, { recursive: true });
    return recoverState(this.config, { keep, restore, signal, say: () => undefined }, async () => undefined);
  }

  get stamps() {
    return stampsIn(this.config.storage.folder, [...this.config.volumes.values()]);
  }

  async close(): Promise<void> {
    for (const up of this.#ups) await up.end().catch(ignoreOperating);
    // Daemons that lost their folder are ended by name; the last one in good order.
    const store = await openSqliteStore(join(this.folder, 'end.db'));
    rmSync(join(this.config.storage.folder, 'stamps'), { recursive: true, force: true });
    rmSync(this.config.storage.folder, { recursive: true, force: true });
    mkdirSync(this.config.state, { recursive: true });
    await (await this.#storageOn(store)).shutdown();
    await store.close();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

function ignoreOperating(error: unknown): void {
  if (codeOf(error) === null) throw error;
}

/** Half of it random, half a hole. */
function contentOf(name: string): Buffer {
  const bytes = Buffer.concat([randomBytes(MIB), Buffer.alloc(MIB)]);
  markOf(name).copy(bytes, MARK_OFFSET);
  return bytes;
}
