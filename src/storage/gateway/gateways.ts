// All gateways of a node: which host has which, who is started, who is ended. A gateway lives as long as its host has a
// volume.
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { assert, codeOf, present, Turns, UnderstudyError } from '../../base/mod.ts';
import { daemonPaths, endDaemon, type ServedVolumes, type VolumePlace, volumesSocket } from '../daemon/mod.ts';
import { exportUri, gatewayExportName } from '../names.ts';
import { type GatewayMemory, type GatewayRecord, isWildcard, type NetworkListen } from './contract.ts';
import { removeCredentials } from './credentials.ts';
import { Gateway } from './gateway.ts';
import { choosePort, isPortFree } from './ports.ts';

/** The one gateway of all hosts, where they have one port in plain text. No host is called so. */
const ALL = '*';
const FILE = /^gateway-([0-9]+)\.(?:lock|qmp|log|tls)$/;

export interface AttachedVolume {
  readonly place: VolumePlace;
  readonly host: string;
}

export interface GatewaysOptions {
  readonly listen: NetworkListen;
  readonly stateFolder: string;
  readonly volumes: ServedVolumes;
  readonly memory: GatewayMemory;
  /** Names of all volumes, in the order of the configuration. */
  readonly order: () => readonly string[];
  /** Volumes of which is not known who has them: what a host has of them it keeps. */
  readonly unknown: readonly string[];
}

export class Gateways {
  readonly #options: GatewaysOptions;
  readonly #gateways = new Map<string, Gateway>();
  /** Serving and taking away, one after the other for each gateway. */
  readonly #changes = new Map<string, Turns>();
  /** One change of the records at a time. */
  readonly #turns = new Turns();
  #records: Readonly<Record<string, GatewayRecord>> = {};
  /** Why it is not known which gateways there are: those that run go on, and none is started or ended. */
  #lost: UnderstudyError | null = null;
  /** Hosts for which there was no port. */
  readonly #unplaced = new Map<string, UnderstudyError>();

  constructor(options: GatewaysOptions) {
    this.#options = options;
  }

  /** Reads what is remembered, and gives every host that has a volume its port. Nothing is started. */
  async load(attached: readonly { readonly volume: string; readonly host: string }[]): Promise<void> {
    const { listen } = this.#options;
    const fits = ({ port }: GatewayRecord): boolean =>
      listen.kind === 'tcp' ? port === listen.port : port >= listen.firstPort && port <= listen.lastPort;
    const known = Object.entries(await this.#remembered()).filter(
      ([name, record]) => (name === ALL) === (listen.kind === 'tcp') && fits(record),
    );
    this.#records = Object.fromEntries(known);
    const inUse = new Set([...attached.map(({ host }) => host), ...this.#keptNames()]);
    for (const { volume, host } of attached) {
      try {
        await this.reserve(volume, host, inUse);
      } catch (error) {
        // Told by `problemOf`; the hosts that have ports get their volumes.
        if (!(error instanceof UnderstudyError)) throw error;
        this.#unplaced.set(host, error);
      }
    }
  }

  async #remembered(): Promise<Readonly<Record<string, GatewayRecord>>> {
    try {
      return await this.#options.memory.read();
    } catch (error) {
      if (!(error instanceof UnderstudyError) || error.code !== 'RECORD_UNUSABLE') throw error;
      this.#lost = error;
      return {};
    }
  }

  /** Gives the host a port, unless it has one. @throws STORAGE_FAILED, RECORD_UNUSABLE */
  async reserve(
    volume: string,
    host: string,
    inUse: ReadonlySet<string> = new Set(this.#gateways.keys()),
  ): Promise<void> {
    const { listen, memory } = this.#options;
    const name = this.#nameOf(host);
    await this.#turns.take(async () => {
      if (this.#records[name] !== undefined) return;
      if (this.#lost !== null) throw this.#lost;
      const isFree = (port: number): Promise<boolean> => isPortFree(listen.host, port);
      const order = this.#options.order();
      const place = { before: order.indexOf(volume), all: order.length };
      const port = await choosePort({ listen, place, gateways: this.#records, inUse, isFree });
      const others = Object.entries(this.#records).filter(([, record]) => record.port !== port);
      // Lives are never counted from the beginning again: no export name is used twice.
      const life = 1 + Math.max(0, ...Object.values(await memory.read()).map((record) => record.life));
      this.#records = Object.fromEntries([...others, [name, { port, life, certificates: null }]]);
      await memory.write(this.#records);
      this.#unplaced.delete(host);
    });
  }

  /** Any of these may be the one of a host whose volume is not known to be its own. */
  #keptNames(): readonly string[] {
    return this.#options.unknown.length === 0 ? [] : Object.keys(this.#records);
  }

  #nameOf(host: string): string {
    return this.#options.listen.kind === 'tcp' ? ALL : host;
  }

  #recordOf(name: string): GatewayRecord {
    return present(this.#records[name], `the port of ${name}`);
  }

  async #change(name: string, change: (record: GatewayRecord) => Partial<GatewayRecord>): Promise<GatewayRecord> {
    return this.#turns.take(async () => {
      const record = { ...this.#recordOf(name), ...change(this.#recordOf(name)) };
      this.#records = { ...this.#records, [name]: record };
      await this.#options.memory.write(this.#records);
      return record;
    });
  }

  /** Where the host finds a volume; without a port when there was none for it. */
  uriOf(volume: string, host: string): string {
    const { listen } = this.#options;
    const tls = listen.kind === 'range' ? listen.tls : null;
    const port = this.#records[this.#nameOf(host)]?.port ?? null;
    // Nobody can connect to "every address"; the name is what the certificate vouches for.
    const reached = tls !== null && isWildcard(listen.host) ? tls.name : listen.host;
    return exportUri({ kind: 'tcp', host: reached, port, tls: tls !== null }, volume);
  }

  /** How the daemon that holds the volumes offers one to the gateway of this host. */
  exportNameOf(volume: string, host: string): string {
    const name = this.#nameOf(host);
    return gatewayExportName(volume, name, this.#records[name]?.life ?? 0);
  }

  /**
   * Finds or starts the gateways of what is attached, and ends all others; not while a volume's host is not known.
   * Those that are only kept are looked at again with the next start.
   */
  async start(attached: readonly AttachedVolume[]): Promise<void> {
    if (this.#lost !== null) return;
    const names = new Set(attached.map(({ host }) => this.#nameOf(host)).filter((name) => name in this.#records));
    const kept = [...names, ...this.#keptNames()].map((name) => this.#recordOf(name).port);
    await endGateways(this.#options.stateFolder, new Set(kept));
    await Promise.all(
      [...names].map((name) => {
        const places = attached.filter(({ host }) => this.#nameOf(host) === name).map(({ place }) => place);
        return this.#gatewayOf(name).begin(places);
      }),
    );
  }

  #gatewayOf(name: string): Gateway {
    const there = this.#gateways.get(name);
    if (there !== undefined) return there;
    const { listen, stateFolder, volumes } = this.#options;
    const { port } = this.#recordOf(name);
    const gateway = new Gateway({
      name,
      address: { host: listen.host, port },
      paths: daemonPaths(stateFolder, `gateway-${port}`),
      tlsFolder: join(stateFolder, `gateway-${port}.tls`),
      volumes,
      volumesSocket: volumesSocket(stateFolder),
      tls: listen.kind === 'range' ? listen.tls : null,
      unknown: this.#options.unknown,
      record: () => this.#recordOf(name),
      change: (change) => this.#change(name, change),
    });
    this.#gateways.set(name, gateway);
    return gateway;
  }

  /** @throws STORAGE_FAILED, CERTIFICATE_* */
  async serve(place: VolumePlace, host: string): Promise<void> {
    const name = this.#nameOf(host);
    await this.reserve(place.name, host);
    await this.#turnsOf(name).take(() => this.#gatewayOf(name).serve(place));
  }

  async unserve(place: VolumePlace, host: string): Promise<void> {
    const name = this.#nameOf(host);
    const record = this.#records[name];
    if (record === undefined) return this.#options.volumes.unserve(place);
    await this.#turnsOf(name).take(async () => {
      const gateway = this.#gatewayOf(name);
      try {
        await gateway.unserve(place);
        if (gateway.isIdle) await removeFiles(this.#options.stateFolder, record.port);
      } finally {
        // One that is idle has ended, or could not be: the next is another one in any case.
        if (gateway.isIdle) this.#gateways.delete(name);
      }
    });
  }

  #turnsOf(name: string): Turns {
    const turns = this.#changes.get(name) ?? new Turns();
    this.#changes.set(name, turns);
    return turns;
  }

  problemOf(volume: string, host: string): string | null {
    const problem = this.#unplaced.get(host) ?? this.#gateways.get(this.#nameOf(host))?.problemOf(volume);
    return problem?.message ?? null;
  }

  /** Starts the gateways again whose certificates are others now, one after the other. @returns their hosts */
  async renew(): Promise<readonly string[]> {
    const renewed: string[] = [];
    for (const [name, gateway] of [...this.#gateways]) {
      try {
        if (await this.#turnsOf(name).take(() => gateway.renew())) renewed.push(name);
      } catch (error) {
        // Told by the status of its volumes; the next change or try may mend it, and the others are not kept from
        // theirs.
        if (codeOf(error) === null) throw error;
      }
    }
    return renewed;
  }

  async close(): Promise<void> {
    await Promise.all([...this.#gateways.values()].map((gateway) => gateway.close()));
  }

  async shutdown(): Promise<void> {
    await Promise.all([...this.#gateways.values()].map((gateway) => gateway.end()));
    await endGateways(this.#options.stateFolder, new Set());
  }
}

/** Ends gateways of earlier lives of the node, except those at the given ports, and removes their files. */
export async function endGateways(stateFolder: string, keep: ReadonlySet<number>): Promise<void> {
  const ports = new Set((await readdir(stateFolder)).flatMap((name) => FILE.exec(name)?.[1] ?? []).map(Number));
  for (const port of ports) {
    if (keep.has(port)) continue;
    try {
      await endDaemon(daemonPaths(stateFolder, `gateway-${port}`));
      await removeFiles(stateFolder, port);
    } catch (error) {
      // One that stays has no export left in the daemon that holds the volumes. The next start tries again.
      assert(codeOf(error) !== null, 'an operating error');
    }
  }
}

async function removeFiles(stateFolder: string, port: number): Promise<void> {
  const { lock, qmp, log } = daemonPaths(stateFolder, `gateway-${port}`);
  for (const path of [qmp, log, lock]) await rm(path, { force: true });
  await removeCredentials(join(stateFolder, `gateway-${port}.tls`));
}
