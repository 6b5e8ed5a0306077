// `understudy up`, composed: store, storage node, drivers, controller and interface in one process. The machines and
// the storage daemon are processes of their own and outlive this one, however it ends.
import { hostname } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type Api, createApi, readAgentToken } from '../src/api/mod.ts';
import { breaksProcess, type EpochGate, type Log, UnderstudyError } from '../src/base/mod.ts';
import { type Configuration, type HostConfig, liveConfiguration, loadRules, type Written } from '../src/config/mod.ts';
import { type AgentSecret, type Controller, startController } from '../src/controller/mod.ts';
import { type Director, HaproxyDirector, type HaproxySettings } from '../src/director/mod.ts';
import { createIdentityEngine, type IdentityEngine, ruleSet } from '../src/identity/mod.ts';
import { Prometheus } from '../src/metrics/mod.ts';
import { LocalNetwork } from '../src/network/mod.ts';
import { findCertificate, readCertificates, readKeyPair } from '../src/pki/mod.ts';
import { IpmiPower, type IpmiSettings, type PowerDriver, QemuPower, type QemuSettings } from '../src/power/mod.ts';
import {
  createStorageNode,
  gateAboveFloor,
  type Listen,
  type LocalStorageNode,
  type StorageNode,
} from '../src/storage/mod.ts';
import { openSqliteStore, storeEpochGate } from '../src/store/mod.ts';
import { followCertificates } from './follow-certificates.ts';
import { gatewayTls, insecureVolumes, machineCertificates } from './gateway-tls.ts';
import { createReload } from './reload.ts';
import { lockPath, storePath, takeState } from './state-folder.ts';
import { watchState } from './state-watch.ts';

export interface ServeOptions {
  /** With what stands in its file. */
  readonly written: Written;
  readonly version: string;
  /** Ends it in good order. */
  readonly signal: AbortSignal;
  /** Told when it can be asked. */
  readonly onReady: (url: string) => void;
  readonly log: Log;
  /** Given what reads understudy.yaml again, as soon as that can be done. */
  readonly onReload: (reload: () => Promise<unknown>) => void;
}

/**
 * Runs until the signal, or until it no longer controls. Hosts, volumes and engagements go on as they are.
 * @throws CONTROLLER_RUNNING when another process serves this state folder; what store, storage node and interface
 *   throw; the reason when it lost the lease
 */
export async function serve(options: ServeOptions): Promise<void> {
  const configuration = liveConfiguration(options.written.configuration);
  const release = takeState(configuration, (message) => options.log({ level: 'info', message }));
  try {
    const store = await openSqliteStore(storePath(configuration));
    // From here on: what is exchanged while the controller starts is noticed as well.
    const over = new AbortController();
    const lost = watchState([lockPath(configuration), storePath(configuration)], over.signal);
    try {
      const gate = storeEpochGate(store);
      const storage = await createStorageNode({
        name: 'storage',
        folder: configuration.storage.folder,
        stateFolder: join(configuration.state, 'node'),
        volumes: [...configuration.volumes.values()],
        listen: listenOf(configuration),
        store,
        gate,
        identity: await identityOf(configuration),
        backgroundRate: configuration.storage.backgroundRate,
        overlayBytesMax: configuration.storage.overlayBytesMax,
      });
      try {
        const fenced = gateAboveFloor(gate, () => storage.floor.read());
        await control(options, { configuration, store, storage, gate: fenced, lost });
      } finally {
        await storage.close();
      }
    } finally {
      over.abort();
      await store.close();
    }
  } finally {
    release();
  }
}

/** @throws CONFIG_INVALID, CONFIG_UNREADABLE */
async function identityOf({ state, identity }: Configuration): Promise<IdentityEngine> {
  const { rulesFile, kernelMount } = identity;
  const options = { stateFolder: join(state, 'identity'), kernelMount };
  if (rulesFile === null) return createIdentityEngine(options);
  const { rules, keep } = await loadRules(rulesFile);
  return createIdentityEngine({ ...options, rules: ruleSet(rulesFile, rules, { canRun: kernelMount }), kept: keep });
}

interface Parts {
  /** Hosts, volumes and services are others after a reload. */
  readonly configuration: Configuration;
  readonly store: Awaited<ReturnType<typeof openSqliteStore>>;
  readonly storage: LocalStorageNode;
  readonly gate: EpochGate;
  /** Why the state cannot be kept any more; resolves only then. */
  readonly lost: Promise<Error>;
}

function listenOf({ storage, tls }: Configuration): Listen {
  const { listen, insecure } = storage;
  if (listen.kind !== 'range') return listen;
  return { ...listen, tls: tls === null || insecure ? null : gatewayTls(tls.folder, tls.name) };
}

async function control(options: ServeOptions, parts: Parts): Promise<void> {
  const { configuration, store, storage } = parts;
  const { version, signal, onReady, onReload, log } = options;
  const drivers = driversOf(parts);
  const controller = await startController({
    config: configuration,
    store,
    storage,
    floor: storage.floor,
    power: new Map<string, PowerDriver>([
      ['qemu', drivers.qemu],
      ['ipmi', drivers.ipmi],
    ]),
    directors: new Map<string, Director>([['haproxy', drivers.haproxy]]),
    network: new LocalNetwork(),
    metrics: new Prometheus(),
    agentSecret: (host) => agentSecret(configuration, host),
    wall: () => Date.now(),
    pause,
    log,
    // The lock tells that earlier lives of this name have ended.
    holder: `${hostname()}:${configuration.state}`.toLowerCase(),
  });
  let failure: Error | null = null;
  const mortal = outliveDefects(controller);
  try {
    const onDefect = (error: unknown, request: string): void => controller.defect(`request ${request}`, error);
    const insecure = insecureVolumes(configuration);
    const { unsettled } = controller;
    const lost = unsettled === null ? null : `${unsettled}; nothing is done before "understudy recover" is run`;
    const warnings = (): readonly string[] => [insecure, lost].filter((warning) => warning !== null);
    let api: Api | null = null;
    const adopt = (now: Configuration): void => {
      drivers.adopt(now);
      api?.reconfigured();
    };
    const reload = createReload({ live: configuration, first: options.written, controller, storage, adopt, log });
    api = await createApi({ controller, configuration, version, onDefect, log, warnings, reload });
    try {
      follow(options, configuration, storage, drivers.qemu);
      const { url } = await api.listen();
      for (const warning of api.warnings()) log({ level: 'warn', message: warning });
      onReload(() => reload(false));
      onReady(url);
      failure = await Promise.race([controller.ended, aborted(signal), parts.lost]);
    } finally {
      await api.close();
    }
  } finally {
    await controller.stop();
    mortal();
  }
  if (failure !== null) throw failure;
}

/**
 * An error that nobody caught is the failure of what threw it; only one that says that the process itself cannot be
 * relied on ends it, as it would without this. @returns what makes every such error end the process again
 */
function outliveDefects(controller: Controller): () => void {
  const ending = process.rawListeners('uncaughtException') as NodeJS.UncaughtExceptionListener[];
  const take: NodeJS.UncaughtExceptionListener = (error, origin) => {
    if (!breaksProcess(error)) return controller.uncaught(error);
    mortal();
    if (ending.length === 0) throw error;
    for (const listener of ending) listener(error, origin);
  };
  const mortal = (): void => {
    process.off('uncaughtException', take);
    for (const listener of ending) process.on('uncaughtException', listener);
  };
  process.removeAllListeners('uncaughtException');
  process.on('uncaughtException', take);
  return mortal;
}

function follow(
  { signal, log }: ServeOptions,
  configuration: Configuration,
  storage: LocalStorageNode,
  machines: QemuPower,
): void {
  const { tls } = configuration;
  if (tls === null) return;
  const hosts = (): readonly string[] => [...settingsOf(configuration, 'qemu').keys()];
  followCertificates({ tls, machines, hosts, storage, log, signal });
}

/** Resolves with null, the reason of an orderly end. */
function aborted(signal: AbortSignal): Promise<null> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve(null);
    signal.addEventListener('abort', () => resolve(null), { once: true });
  });
}

async function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  try {
    await delay(milliseconds, undefined, { signal });
  } catch (error) {
    // Being woken up is what the signal is for.
    if (!signal.aborted) throw error;
  }
}

/** Read when it is needed, so that a changed file counts for the next engagement. A certificate goes before a token. */
async function agentSecret({ tls }: Configuration, host: HostConfig): Promise<AgentSecret | null> {
  const certificates = tls === null ? null : await readCertificates(tls.folder);
  const own = certificates === null ? null : findCertificate(certificates, 'host', host.name);
  if (certificates !== null && own?.hasKey === true && !own.revoked && own.expiresMs > Date.now()) {
    const { certificate, key } = await readKeyPair(certificates, 'host', host.name);
    return { certificate: { cert: certificate.pem, key } };
  }
  return host.agentTokenFile === null ? null : { token: readAgentToken(host.agentTokenFile) };
}

/** Settings have been checked by the driver's own schema when the configuration was read. */
function settingsOf<T>(configuration: Configuration, driver: string): Map<string, T> {
  const hosts = [...configuration.hosts.values()].filter(({ power }) => power.driver === driver);
  return new Map(hosts.map(({ name, power }) => [name, power.settings as T]));
}

interface Drivers {
  readonly qemu: QemuPower;
  readonly ipmi: IpmiPower;
  readonly haproxy: HaproxyDirector;
  /** Takes hosts and services as they are now. */
  adopt(configuration: Configuration): void;
}

export function virtualMachines(
  configuration: Configuration,
  storage: Pick<StorageNode, 'status'>,
  gate: EpochGate,
): QemuPower {
  const { tls } = configuration;
  return new QemuPower({
    hosts: settingsOf<QemuSettings>(configuration, 'qemu'),
    folder: join(configuration.state, 'machines'),
    gate,
    diskOf: (host) => diskOf(configuration, storage, host),
    ...(tls === null ? {} : { certificatesOf: machineCertificates(tls.folder, tls.name) }),
  });
}

function driversOf({ configuration, storage, gate }: Parts): Drivers {
  const qemu = virtualMachines(configuration, storage, gate);
  const ipmi = new IpmiPower({ hosts: settingsOf<IpmiSettings>(configuration, 'ipmi'), gate });
  const haproxy = new HaproxyDirector({ services: haproxyServices(configuration), gate });
  const adopt = (now: Configuration): void => {
    qemu.setHosts(settingsOf<QemuSettings>(now, 'qemu'));
    ipmi.setHosts(settingsOf<IpmiSettings>(now, 'ipmi'));
    haproxy.setServices(haproxyServices(now));
  };
  return { qemu, ipmi, haproxy, adopt };
}

/** Where the host's volume is served to it now. @throws VOLUME_STATE when it has nothing to boot from */
async function diskOf(
  configuration: Configuration,
  storage: Pick<StorageNode, 'status'>,
  name: string,
): Promise<string> {
  const volume = configuration.hosts.get(name)?.volume;
  const { volumes } = await storage.status();
  const found = volumes.find((one) => one.name === volume);
  if (found?.attachment?.host === name) return found.attachment.uri;
  throw new UnderstudyError('VOLUME_STATE', `${volume} is not attached to ${name}, which so has nothing to boot from`);
}

function haproxyServices(configuration: Configuration): Readonly<Record<string, HaproxySettings>> {
  const services = [...configuration.services.values()].filter(({ director }) => director.driver === 'haproxy');
  return Object.fromEntries(
    services.map(({ name, director }) => [name, director.settings as unknown as HaproxySettings]),
  );
}
