// What understudy.yaml says, after defaults: the one description of an installation that all parts share. Secrets are
// never in it; a file that holds one is named. The schema beside this file is checked against these types.

import type { ZodType } from 'zod';
import type { SignalPolicy, Windows } from '../detection/mod.ts';
import type { Listen } from './fields.ts';
import type { JsonRecord } from './json.ts';

/** A computer that can lead or be an understudy. */
export interface HostConfig {
  readonly name: string;
  /** Its boot volume, by name. */
  readonly volume: string;
  /** RFC 1123 label; the host's own name for itself. @default name */
  readonly hostName: string;
  readonly domain: string | null;
  readonly interfaces: readonly HostInterfaceConfig[];
  /** The address at which the service, its SSH server and its agent are reached: the first of the first interface. */
  readonly address: string;
  /**
   * Link of the controller's machine on which ARP probes for that address are sent; null: none, and "prove" says so.
   */
  readonly link: string | null;
  readonly power: PowerConfig;
  /** File with the token of its agent; null: no agent. */
  readonly agentTokenFile: string | null;
  /** Its volume's content may be lost: no backup is made before it is overwritten. @default false */
  readonly expendable: boolean;
}

export interface HostInterfaceConfig {
  readonly name: string;
  /** Lower case, colons. */
  readonly mac: string;
  /** CIDR. */
  readonly addresses: readonly string[];
  readonly gateway: string | null;
}

/** Which driver switches the host, and what that driver wants to know of it; checked by the driver's own schema. */
export interface PowerConfig {
  readonly driver: string;
  readonly settings: JsonRecord;
}

export interface VolumeConfig {
  readonly name: string;
  /** Absolute path of a raw file or a block device on the storage node. */
  readonly path: string;
}

export interface StorageConfig {
  /** Where backups, overlays and stamps go; never in the state folder. @default STATE-storage */
  readonly folder: string;
  /**
   * How hosts reach exports: a Unix socket in the state folder, one port in plain text, or a port for each host.
   * @default unix
   */
  readonly listen: Listen;
  /** Plain text, also beyond loopback. @default false */
  readonly insecure: boolean;
  /** Bytes a second that backups, copies and restores together may take from each source; null: no limit. */
  readonly backgroundRate: number | null;
  /** Bytes of changed blocks kept for one snapshot; beyond it the snapshot fails, never the lead. @default 4 GiB */
  readonly overlayBytesMax: number;
}

export type Mode = 'advise' | 'approve' | 'automatic';

export interface ServiceConfig {
  readonly name: string;
  readonly lead: string;
  /** Spares in the order of preference. */
  readonly pool: readonly string[];
  readonly mode: Mode;
  /** Hosts of the service, the lead included, in any state, failed ones too. 1 and up. @default 1 + pool */
  readonly hostsMax: number;
  /** What understudies get. @default 'reads' */
  readonly traffic: 'all' | 'reads';
  readonly director: DirectorConfig;
  /** Port of the service on every host. */
  readonly port: number;
  /** How users use it; asked at each host's own address. */
  readonly check: CheckConfig;
  /** At least one that is not `outside`. */
  readonly signals: readonly SignalConfig[];
  /** The longest of its objectives: what policy waits for. */
  readonly windows: Windows;
  readonly scaleOut: ScaleOutConfig;
  readonly scaleIn: ScaleInConfig;
  readonly timeoutsMs: TimeoutsConfig;
  /**
   * Unknown findings of the identity engine that are accepted: "RULE:PATH", or "RULE" for what it finds at one path.
   */
  readonly acceptUnknown: readonly string[];
  /**
   * Absolute paths of the lead that alone are copied, into the understudy's own system; null: the whole disk. @default
   * null
   */
  readonly portion: readonly string[] | null;
}

export interface DirectorConfig {
  readonly driver: string;
  readonly settings: JsonRecord;
}

export interface CheckConfig {
  readonly kind: 'http' | 'tcp';
  readonly path: string;
  readonly contains: string | null;
  readonly timeoutMs: number;
}

/** Where the values of a signal come from. */
export type SignalSource =
  /** Measured by the agent of each host, and judged there. */
  | { readonly kind: 'agent' }
  /** What the director counts for each host. */
  | { readonly kind: 'director' }
  | {
      readonly kind: 'prometheus';
      /** Without a slash at its end. */
      readonly url: string;
      /** `{{host}}` and `{{address}}` stand for the host. */
      readonly query: string;
      readonly everySeconds: number;
      /** File of a bearer token; null: none. */
      readonly tokenFile: string | null;
    };

/** A signal and what is asked of it (src/detection). */
export interface SignalConfig extends SignalPolicy {
  readonly source: SignalSource;
}

export interface ScaleOutConfig {
  /** After any change of the number of hosts, nothing is added for so long. @default 0 */
  readonly cooldownSeconds: number;
  /**
   * Hosts on their way at the same time; more than the first as far as more requests come than they carry. @default 2
   */
  readonly atOnce: number;
}

export interface ScaleInConfig {
  /** The verdict of every host that takes traffic must have been healthy for so long, without a gap. @default 300 */
  readonly windowSeconds: number;
  /**
   * Load that one host less may have, as a share of what was carried when the objective broke (requests a second in the
   * director). Above 0, below 1. @default 0.7
   */
  readonly headroom: number;
  /** After any change of the number of hosts, nothing is taken away for so long. @default 300 */
  readonly cooldownSeconds: number;
}

export interface TimeoutsConfig {
  readonly off: number;
  readonly boot: number;
  readonly drain: number;
  /** Of one driver call. */
  readonly call: number;
  readonly copy: number;
}

/** Certificates of this machine (src/pki). */
export interface TlsConfig {
  /** Absolute path. */
  readonly folder: string;
  /** Of the certificate `node-NAME`. */
  readonly name: string;
}

export interface ApiConfig {
  /** @default 127.0.0.1 */
  readonly host: string;
  /** 0: any free one, written to STATE/api.json. @default 7780 */
  readonly port: number;
  /**
   * Where agents reach it: what clones are told. An http or https URL without path. @default https://HOST:PORT with tls
   */
  readonly advertise: string;
  /** File of tokens, mode 0600: src/api/token-lines.ts has its form. */
  readonly tokensFile: string;
  /** It may listen beyond loopback without TLS. @default false */
  readonly insecure: boolean;
}

export interface ImagesConfig {
  /** Absolute path of a file of rules. null: only those that come with the program. */
  readonly rulesFile: string | null;
  /** The kernel may mount private overlays of images. @default false */
  readonly kernelMount: boolean;
}

export interface Configuration {
  /** Absolute path of understudy.yaml. */
  readonly path: string;
  /** Absolute path of the folder for all durable state. */
  readonly state: string;
  /** null: nothing is encrypted. */
  readonly tls: TlsConfig | null;
  readonly api: ApiConfig;
  readonly storage: StorageConfig;
  readonly identity: ImagesConfig;
  readonly volumes: ReadonlyMap<string, VolumeConfig>;
  readonly hosts: ReadonlyMap<string, HostConfig>;
  readonly services: ReadonlyMap<string, ServiceConfig>;
}

/**
 * What `settings` of each driver may be, by the driver's name. Composition passes the drivers' schemas in, so the
 * configuration knows no driver, and still names file, line and column of a wrong setting. A schema is a strict zod
 * object. A string in it that is a path says so with `.meta({ format: 'path' })`; it comes out absolute, a relative one
 * being taken from the folder of understudy.yaml. The settings of a configuration are what the schema gives: with
 * defaults and transformations.
 */
export interface DriverSchemas {
  readonly power: Readonly<Record<string, ZodType>>;
  readonly director: Readonly<Record<string, ZodType>>;
}
