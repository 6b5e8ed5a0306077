// The boot volume of a machine as QEMU has it: an NBD client, and over TLS a node above it that stays while the client is replaced.
//
//   virtio-blk disk0 --> disk0 (nbd)                       Unix socket, TCP
//   virtio-blk disk0 --> disk0 (raw) --> net-ID (nbd)      TLS, with the credentials tls-ID; another certificate is another ID
import { UnderstudyError } from '../../base/mod.ts';
import type { MachineTls } from './credentials.ts';

/** The virtio device and the block node of the boot volume. */
export const DISK = 'disk0';
/**
 * For so long requests of the guest wait for a storage daemon that went away, and are sent again when it is back.
 * Afterwards they fail, which a guest answers by making its file system read-only; a daemon that is started again needs
 * seconds.
 */
const RECONNECT_SECONDS = 600;
/** TLS 1.3 and nothing else: https://gnutls.org/manual/html_node/Priority-Strings.html */
const TLS_PRIORITY = 'NORMAL:-VERS-ALL:+VERS-TLS1.3';

export interface NbdServer {
  readonly server: { readonly type: 'unix'; readonly path: string } | InetServer;
  readonly exportName: string;
  readonly tls: boolean;
}

interface InetServer {
  readonly type: 'inet';
  readonly host: string;
  readonly port: string;
}

/** @throws POWER_FAILED for what is not NBD over a Unix socket, TCP or TLS */
export function nbdServer(uri: string): NbdServer {
  const refuse = (): never => {
    throw new UnderstudyError('POWER_FAILED', `${uri} is not an NBD URI that a machine can boot from`);
  };
  if (!URL.canParse(uri)) return refuse();
  const url = new URL(uri);
  const exportName = decodeURIComponent(url.pathname.replace(/^\//, ''));
  if (url.protocol === 'nbd+unix:') {
    return { server: { type: 'unix', path: url.searchParams.get('socket') ?? refuse() }, exportName, tls: false };
  }
  const tls = url.protocol === 'nbds:';
  if ((!tls && url.protocol !== 'nbd:') || url.hostname === '') return refuse();
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1');
  return { server: { type: 'inet', host, port: url.port || '10809' }, exportName, tls };
}

export type QemuOptions = Readonly<Record<string, unknown>>;

export function tlsObject({ id, folder }: MachineTls): QemuOptions {
  return {
    'qom-type': 'tls-creds-x509',
    id: tlsName(id),
    endpoint: 'client',
    dir: folder,
    'verify-peer': true,
    priority: TLS_PRIORITY,
  };
}

export function netNode(uri: string, tls: MachineTls | null): QemuOptions {
  const { server, exportName } = nbdServer(uri);
  return {
    driver: 'nbd',
    'node-name': tls === null ? DISK : netName(tls.id),
    server,
    export: exportName,
    'reconnect-delay': RECONNECT_SECONDS,
    discard: 'unmap',
    // No cache options: an NBD client keeps nothing, and the guest's flushes are sent on to the server.
    ...(tls === null ? {} : { 'tls-creds': tlsName(tls.id), 'tls-hostname': tls.serverName }),
  };
}

export function tlsName(id: string): string {
  return `tls-${id}`;
}

export function netName(id: string): string {
  return `net-${id}`;
}

/** The node that the guest's device uses, over the client with these credentials. */
export function topNode({ id }: MachineTls): QemuOptions {
  return { driver: 'raw', 'node-name': DISK, file: netName(id), discard: 'unmap' };
}

/**
 * Firmware needs to be told what to start. With a kernel from outside, QEMU gives that the first place, and refuses a
 * second claim to it.
 */
export function diskArguments(uri: string, tls: MachineTls | null, kernel: string | undefined): string[] {
  if (nbdServer(uri).tls !== (tls !== null)) {
    throw new UnderstudyError('POWER_FAILED', `${uri} and the certificates of the machine do not belong together`);
  }
  const nodes = tls === null ? [netNode(uri, tls)] : [netNode(uri, tls), topNode(tls)];
  return [
    ...(tls === null ? [] : ['-object', JSON.stringify(tlsObject(tls))]),
    ...nodes.flatMap((node) => ['-blockdev', JSON.stringify(node)]),
    ...['-device', `virtio-blk-pci,id=${DISK},drive=${DISK}${kernel === undefined ? ',bootindex=0' : ''}`],
  ];
}
