// One gateway: a daemon that holds no volume, and offers those of one host at a port of its own. Which these are is
// remembered here, and the daemon is made so whenever it comes up. Nothing is lost with it: the host's client waits,
// connects to the next one and sends again what was not answered. Each life of a gateway has export names of its own in
// the daemon that holds the volumes, and those of the life before are ended first: what an earlier life still had under
// way never comes after what the host sent later.
import { lookup } from 'node:dns/promises';
import { codeOf, errnoOf, messageOf, Turns, UnderstudyError } from '../../base/mod.ts';
import { listenTcp } from '../../linux/mod.ts';
import {
  type DaemonPaths,
  endDaemon,
  INHERITED_FILE,
  type ServedVolumes,
  StorageDaemon,
  type VolumePlace,
} from '../daemon/mod.ts';
import { baseOf, baseOfName, gatewayExportName, nameOf } from '../names.ts';
import {
  addExport,
  addNode,
  type QmpConnection,
  queryExports,
  queryNodes,
  removeExport,
  removeNode,
} from '../qmp/mod.ts';
import { gatewayArguments, volumeNode } from './command.ts';
import type { GatewayCertificates, GatewayRecord, GatewayTls } from './contract.ts';
import { digestOf, removeCredentials, writeCredentials } from './credentials.ts';

/** How long an attachment waits for its gateway. */
const UP_TIMEOUT_MS = 30_000;

export interface GatewayOptions {
  /** Host that it is for. */
  readonly name: string;
  readonly address: { readonly host: string; readonly port: number };
  readonly paths: DaemonPaths;
  /** Where its certificates are written. */
  readonly tlsFolder: string;
  /** The daemon that holds the volumes. */
  readonly volumes: ServedVolumes;
  readonly volumesSocket: string;
  /** null: plain text, to whoever comes. */
  readonly tls: GatewayTls | null;
  /** Volumes that it goes on offering, if it does. */
  readonly unknown: readonly string[];
  readonly record: () => GatewayRecord;
  readonly change: (change: (record: GatewayRecord) => Partial<GatewayRecord>) => Promise<GatewayRecord>;
}

export class Gateway {
  readonly #options: GatewayOptions;
  readonly #daemon: StorageDaemon;
  readonly #what: string;
  /** One change of its exports at a time. */
  readonly #turns = new Turns();
  readonly #places = new Map<string, VolumePlace>();
  readonly #problems = new Map<string, UnderstudyError>();
  #begun = false;
  /** What the daemon that is coming up was started with; null: it was there already. */
  #launched: string | null = null;

  constructor(options: GatewayOptions) {
    this.#options = options;
    this.#what = `the gateway of ${options.name}`;
    this.#daemon = new StorageDaemon({
      what: this.#what,
      paths: options.paths,
      launch: () => this.#launch(),
      settle: (qmp) => this.#turns.take(() => this.#settle(qmp)),
    });
  }

  get isIdle(): boolean {
    return this.#places.size === 0;
  }

  problemOf(volume: string): UnderstudyError | null {
    return this.#problems.get(volume) ?? this.#daemon.failure;
  }

  /** Finds the gateway of an earlier life, or starts one; resolves when that was tried once. */
  async begin(places: readonly VolumePlace[]): Promise<void> {
    for (const place of places) this.#places.set(place.name, place);
    try {
      await this.#up();
    } catch (error) {
      // Told by `problemOf`, and tried again.
      if (codeOf(error) === null) throw error;
    }
  }

  async #up(): Promise<void> {
    const tried = this.#daemon.untilTried(UP_TIMEOUT_MS);
    if (!this.#begun) this.#daemon.begin();
    this.#begun = true;
    await tried;
  }

  /** @throws STORAGE_FAILED, CERTIFICATE_* */
  async serve(place: VolumePlace): Promise<void> {
    this.#places.set(place.name, place);
    if (this.#daemon.isUp) await this.#turns.take(() => this.#makeSo(this.#daemon.qmp));
    else await this.#up();
    const problem = this.#problems.get(place.name);
    if (problem !== undefined) throw problem;
  }

  /** Ends the connections to a volume; returns when no request of them is under way. */
  async unserve(place: VolumePlace): Promise<void> {
    this.#places.delete(place.name);
    this.#problems.delete(place.name);
    try {
      if (this.isIdle) await this.end();
      else if (this.#daemon.isUp) await this.#turns.take(() => this.#makeSo(this.#daemon.qmp));
    } finally {
      // Whatever became of the gateway: from here on nothing of it reaches the volume.
      await this.#options.volumes.unserve(place);
    }
  }

  /** Starts the gateway again if its certificates are others now. @returns whether it did */
  async renew(): Promise<boolean> {
    const { record } = this.#options;
    const certificates = await this.#certificates();
    if (!this.#daemon.isUp || record().certificates === digestOf(certificates)) return false;
    await this.#daemon.restart(UP_TIMEOUT_MS);
    return true;
  }

  /** Ends our side; the gateway goes on. */
  close(): Promise<void> {
    return this.#daemon.close();
  }

  /** Ends the gateway and removes what it leaves. @throws STORAGE_FAILED when it does not end */
  async end(): Promise<void> {
    await this.#daemon.close();
    await endDaemon(this.#options.paths);
    await removeCredentials(this.#options.tlsFolder);
  }

  async #certificates(): Promise<GatewayCertificates | null> {
    const { tls, name } = this.#options;
    return tls === null ? null : tls.read(name);
  }

  #exportName(volume: string): string {
    return gatewayExportName(volume, this.#options.name, this.#options.record().life);
  }

  /** Before a life: the one before has ended, and what it had under way ends here. */
  async #launch() {
    const { volumes, volumesSocket, change, tlsFolder } = this.#options;
    const certificates = await this.#certificates();
    if (certificates?.refused) throw failed(`${this.#what} is not started: ${certificates.refused}`);
    await volumes.daemon.untilUp(UP_TIMEOUT_MS);
    await change(({ life }) => ({ life: life + 1, certificates: null }));
    const served = [];
    for (const place of this.#places.values()) {
      if (await this.#offer(place)) served.push({ name: place.name, exportName: this.#exportName(place.name) });
    }
    if (certificates !== null) await this.#keep(certificates);
    this.#launched = digestOf(certificates);
    const tls = certificates && { folder: tlsFolder, distinguishedName: certificates.distinguishedName };
    const args = gatewayArguments({ listener: INHERITED_FILE, volumesSocket, volumes: served, tls });
    return { args, exposed: true, file: await this.#listen() };
  }

  /**
   * QEMU 7.2 sets no TCP_NODELAY on what it accepts (later versions do), and a small read over TLS leaves it in two
   * pieces, of which the second waits for the acknowledgement of the first.
   */
  async #listen(): Promise<number> {
    const { host, port } = this.#options.address;
    try {
      const { address, family } = await lookup(host);
      return listenTcp({ address, family: family === 6 ? 6 : 4, port });
    } catch (cause) {
      const why = errnoOf(cause) === 'EADDRINUSE' ? 'another program has the port' : messageOf(cause);
      throw failed(`${this.#what} cannot listen at ${host}:${port}: ${why}`, cause);
    }
  }

  async #keep(certificates: GatewayCertificates): Promise<void> {
    try {
      await writeCredentials(this.#options.tlsFolder, certificates);
    } catch (cause) {
      throw failed(`the certificates of ${this.#what} cannot be written: ${messageOf(cause)}`, cause);
    }
  }

  /** Offers a volume to this life of the gateway. A volume that cannot be served costs the others nothing. */
  async #offer(place: VolumePlace): Promise<boolean> {
    this.#problems.delete(place.name);
    try {
      await this.#options.volumes.serve(place, this.#exportName(place.name), true);
      return true;
    } catch (error) {
      if (!(error instanceof UnderstudyError)) throw error;
      this.#problems.set(place.name, error);
      return false;
    }
  }

  async #settle(qmp: QmpConnection): Promise<void> {
    const launched = this.#launched;
    this.#launched = null;
    if (launched === null && !(await this.#isWanted())) {
      await endDaemon(this.#options.paths);
      throw failed(`${this.#what} is being started again`);
    }
    await this.#makeSo(qmp);
    if (launched !== null) await this.#options.change(() => ({ certificates: launched }));
  }

  /** Whether a daemon that was there already came up completely, and with the certificates of today. */
  async #isWanted(): Promise<boolean> {
    const { certificates } = this.#options.record();
    if (certificates === null) return false;
    try {
      return digestOf(await this.#certificates()) === certificates;
    } catch (error) {
      // Certificates that cannot be read are no reason to take from a host what it has.
      if (codeOf(error) === null) throw error;
      return true;
    }
  }

  /** Makes the exports those of the places. */
  async #makeSo(qmp: QmpConnection): Promise<void> {
    const exported = new Set((await queryExports(qmp)).map(({ id }) => id));
    const nodes = new Set((await queryNodes(qmp)).map(({ name }) => name));
    const wanted = new Set([...this.#places.keys(), ...this.#options.unknown].map(baseOf));
    for (const base of new Set([...exported, ...nodes].map(baseOfName))) {
      if (base === null || wanted.has(base)) continue;
      const [host, main] = [nameOf(base, 'host'), nameOf(base, 'main')];
      if (exported.delete(host)) await removeExport(qmp, host);
      if (nodes.delete(main)) await removeNode(qmp, main);
    }
    for (const place of this.#places.values()) {
      if (exported.has(nameOf(baseOf(place.name), 'host')) || !(await this.#offer(place))) continue;
      await this.#export(qmp, place, nodes);
    }
  }

  async #export(qmp: QmpConnection, { name }: VolumePlace, nodes: ReadonlySet<string>): Promise<void> {
    const [id, node] = [nameOf(baseOf(name), 'host'), nameOf(baseOf(name), 'main')];
    try {
      if (nodes.has(node)) await removeNode(qmp, node);
      await addNode(qmp, volumeNode(name, this.#exportName(name), this.#options.volumesSocket));
      await addExport(qmp, { id, node, name, writable: true });
    } catch (error) {
      if (!(error instanceof UnderstudyError) || !qmp.isOpen) throw error;
      this.#problems.set(name, error);
    }
  }
}

function failed(message: string, cause?: unknown): UnderstudyError {
  return new UnderstudyError('STORAGE_FAILED', message, { cause });
}
