// Where hosts find their volumes when they come over a network. The daemon that holds the volumes listens on a Unix
// socket only. In front of it stand gateways, daemons that hold nothing: one for each host, with TLS, a port of its
// own, and that host's name.
import { isLoopback } from '../../base/mod.ts';

/** What the gateway of one host proves itself with, and what it judges the host by. PEM. */
export interface GatewayCertificates {
  /** Of the host, as QEMU compares it. */
  readonly distinguishedName: string;
  /** Of the authority that must have signed the host's certificate. */
  readonly authority: string;
  /** The authority's list of what it revoked, signed; null: there is none. */
  readonly revocations: string | null;
  /**
   * Serial numbers of certificates of this host that were revoked: a gateway is started again for these and for no
   * other host's.
   */
  readonly revokedSerials: readonly string[];
  /** Of this node, and its key. */
  readonly certificate: string;
  readonly key: string;
  /** The host's own, where it is known here: when it was renewed, connections that the old one opened end. */
  readonly hostCertificate: string | null;
  /** Why this host gets no connection at all (its certificate was revoked); null: it gets them. */
  readonly refused: string | null;
}

export interface GatewayTls {
  /** Name of the node, which its certificate vouches for. */
  readonly name: string;
  /** Asked whenever a gateway starts. @throws CERTIFICATE_* */
  read(host: string): Promise<GatewayCertificates>;
}

export type Listen =
  /** On this machine, by the socket of the daemon that holds the volumes. */
  | { readonly kind: 'unix' }
  /** One port for all hosts, in plain text. */
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number }
  /** A port for each host; `tls` null: in plain text. */
  | {
      readonly kind: 'range';
      readonly host: string;
      readonly firstPort: number;
      readonly lastPort: number;
      readonly tls: GatewayTls | null;
    };

export type NetworkListen = Exclude<Listen, { kind: 'unix' }>;

/** Every address of this machine. */
export function isWildcard(host: string): boolean {
  return host === '0.0.0.0' || /^[0:]+$/.test(host);
}

/** Whether volumes are served in plain text beyond this machine. */
export function isInsecure(listen: Listen): boolean {
  if (listen.kind === 'unix' || isLoopback(listen.host)) return false;
  return listen.kind === 'tcp' || listen.tls === null;
}

export interface GatewayRecord {
  /** The host's from its first attachment on, so that it finds its volumes again. */
  readonly port: number;
  /** Raised before each start: part of the names by which the gateway finds the volumes. */
  readonly life: number;
  /** Digest of the certificates that this life has; null until it is up. */
  readonly certificates: string | null;
}

/** Durable; written by the one process that has the node. */
export interface GatewayMemory {
  read(): Promise<Readonly<Record<string, GatewayRecord>>>;
  write(gateways: Readonly<Record<string, GatewayRecord>>): Promise<void>;
}
