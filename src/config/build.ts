// From what the file says to what the parts of the installation take.
import { present } from '../base/mod.ts';
import { type Windows, windowsOf } from '../detection/mod.ts';
import type { Settings } from './check-drivers.ts';
import type {
  ApiConfig,
  CheckConfig,
  Configuration,
  HostConfig,
  ServiceConfig,
  SignalConfig,
  SignalSource,
  StorageConfig,
  VolumeConfig,
} from './contract.ts';
import type { Raw } from './schema.ts';
import { signalPolicyOf } from './signal-schema.ts';

type RawPrometheus = NonNullable<Raw['services'][string]['signals'][number]['prometheus']>;

/** @param raw checked, with paths made absolute */
export function buildConfiguration(path: string, raw: Raw, settings: Settings): Configuration {
  const settingsOf = (place: string) => present(settings.get(place), `settings of ${place}`);
  return {
    path,
    state: raw.state,
    tls: raw.tls ?? null,
    api: buildApi(raw),
    storage: buildStorage(raw.storage, raw.state),
    identity: { rulesFile: raw.identity.rules, kernelMount: raw.identity.kernelMount },
    volumes: mapOf(raw.volumes, (name, volume): VolumeConfig => ({ name, path: volume.path })),
    hosts: mapOf(raw.hosts, (name, host) => buildHost(name, host, settingsOf(`hosts.${name}.power`))),
    services: mapOf(raw.services, (name, service) => {
      return buildService(name, service, settingsOf(`services.${name}.director`));
    }),
  };
}

function mapOf<From, To>(entries: Readonly<Record<string, From>>, build: (name: string, from: From) => To) {
  return new Map(Object.entries(entries).map(([name, entry]) => [name, build(name, entry)] as const));
}

export function buildApi({ api, tls }: Pick<Raw, 'api' | 'tls'>): ApiConfig {
  const { host, port, advertise, tokensFile, insecure } = api;
  const authority = host.includes(':') ? `[${host}]` : host;
  const scheme = tls === undefined ? 'http' : 'https';
  return { host, port, advertise: advertise ?? `${scheme}://${authority}:${port}`, tokensFile, insecure };
}

/** Beside the state folder, and not in it: what lies there outlives the store. */
export function defaultStorageFolder(state: string): string {
  return `${state.replace(/\/+$/, '')}-storage`;
}

function buildStorage(raw: Raw['storage'], state: string): StorageConfig {
  return {
    folder: raw.folder ?? defaultStorageFolder(state),
    listen: raw.listen,
    insecure: raw.insecure,
    backgroundRate: raw.backgroundRate,
    overlayBytesMax: raw.overlayMax,
  };
}

function buildHost(name: string, raw: Raw['hosts'][string], settings: HostConfig['power']['settings']): HostConfig {
  const first = present(raw.interfaces[0]?.addresses[0], 'first address');
  return {
    name,
    volume: raw.volume,
    hostName: raw.hostName ?? name,
    domain: raw.domain,
    interfaces: raw.interfaces,
    address: present(first.split('/')[0], 'address before the length of its network'),
    link: raw.link,
    power: { driver: raw.power.driver, settings },
    agentTokenFile: raw.agentTokenFile,
    expendable: raw.expendable,
  };
}

function buildService(
  name: string,
  raw: Raw['services'][string],
  settings: ServiceConfig['director']['settings'],
): ServiceConfig {
  const { scaleOut, scaleIn } = raw;
  const signals = buildSignals(raw);
  return {
    name,
    lead: raw.lead,
    pool: raw.pool,
    mode: raw.mode,
    hostsMax: raw.hostsMax ?? 1 + raw.pool.length,
    traffic: raw.traffic,
    director: { driver: raw.director.driver, settings },
    port: raw.port,
    check: buildCheck(raw.check),
    signals,
    windows: windowsOfAll(signals),
    scaleOut: { cooldownSeconds: scaleOut.cooldown, atOnce: scaleOut.atOnce },
    scaleIn: { windowSeconds: scaleIn.window, headroom: scaleIn.headroom, cooldownSeconds: scaleIn.cooldown },
    timeoutsMs: raw.timeouts,
    acceptUnknown: raw.acceptUnknown,
    portion: raw.portion,
  };
}

/** The short form is one signal more. */
function buildSignals({ objective, signals }: Raw['services'][string]): readonly SignalConfig[] {
  const short = objective === undefined ? [] : [{ name: objective.signal, objective, outside: false }];
  return [...short, ...signals].map((signal) => ({ ...signalPolicyOf(signal), source: sourceOf(signal) }));
}

function sourceOf(signal: { readonly name: string; readonly prometheus?: RawPrometheus | undefined }): SignalSource {
  const { name, prometheus } = signal;
  if (prometheus === undefined) return { kind: name.startsWith('director.') ? 'director' : 'agent' };
  const { url, query, every, tokenFile = null } = prometheus;
  return { kind: 'prometheus', url: url.replace(/\/+$/, ''), query, everySeconds: every, tokenFile };
}

/** Seconds between two samples. The director is looked at every other second, agents measure each second. */
export function intervalOf(source: SignalSource): number {
  return source.kind === 'prometheus' ? source.everySeconds : source.kind === 'director' ? 2 : 1;
}

/** Of what asks for hosts; a baseline has those that an objective would have. */
function windowsOfAll(signals: readonly SignalConfig[]): Windows {
  const all = signals
    .filter(({ outside }) => !outside)
    .map(({ objective, source }) => windowsOf(objective, intervalOf(source)));
  return {
    fastSeconds: Math.max(...all.map(({ fastSeconds }) => fastSeconds)),
    slowSeconds: Math.max(...all.map(({ slowSeconds }) => slowSeconds)),
  };
}

function buildCheck({ kind, path, contains, timeout }: Raw['services'][string]['check']): CheckConfig {
  return { kind, path: path ?? '/', contains, timeoutMs: timeout };
}
