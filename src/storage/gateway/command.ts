// The command line of a gateway, and nothing else. Everything is on it: a daemon answers only after it has gone through
// its whole command line, so no client ever meets a gateway without its exports.
import { baseOf, nameOf } from '../names.ts';
import type { NodeOptions } from '../qmp/mod.ts';

/** TLS 1.3 and nothing else: https://gnutls.org/manual/html_node/Priority-Strings.html */
export const TLS_PRIORITY = 'NORMAL:-VERS-ALL:+VERS-TLS1.3';
/**
 * For so long requests wait for the daemon that holds the volumes. As long as a machine waits for its gateway, so that
 * a host sees no difference between the two.
 */
const RECONNECT_SECONDS = 600;
/** Strangers may open connections too; QEMU ends those that have not negotiated within 10 s. */
const CONNECTIONS_MAX = 1024;

export interface GatewayCommand {
  /** The listening socket that the gateway inherits. */
  readonly listener: number;
  /** Of the daemon that holds the volumes. */
  readonly volumesSocket: string;
  readonly volumes: readonly { readonly name: string; readonly exportName: string }[];
  /** null: plain text. */
  readonly tls: { readonly folder: string; readonly distinguishedName: string } | null;
}

/** In QEMU's options a comma ends a value unless it is doubled. */
function value(text: string): string {
  return text.replaceAll(',', ',,');
}

/** The gateway's way to a volume. */
export function volumeNode(volume: string, exportName: string, socket: string): NodeOptions {
  return {
    driver: 'nbd',
    'node-name': nameOf(baseOf(volume), 'main'),
    server: { type: 'unix', path: socket },
    export: exportName,
    'reconnect-delay': RECONNECT_SECONDS,
    discard: 'unmap',
  };
}

/** For qemu-storage-daemon(1). */
export function gatewayArguments({ listener, volumesSocket, volumes, tls }: GatewayCommand): string[] {
  const server = [
    'addr.type=fd',
    `addr.str=${listener}`,
    `max-connections=${CONNECTIONS_MAX}`,
    ...(tls === null ? [] : ['tls-creds=tls0', 'tls-authz=host0']),
  ];
  return [
    ...(tls === null ? [] : tlsArguments(tls)),
    ...volumes.flatMap(({ name, exportName }) => [
      '--blockdev',
      JSON.stringify(volumeNode(name, exportName, volumesSocket)),
    ]),
    ...['--nbd-server', server.join(',')],
    ...volumes.flatMap(({ name }) => {
      const base = baseOf(name);
      const ids = [`id=${nameOf(base, 'host')}`, `node-name=${nameOf(base, 'main')}`];
      return ['--export', ['type=nbd', ...ids, `name=${value(name)}`, 'writable=on'].join(',')];
    }),
  ];
}

function tlsArguments({ folder, distinguishedName }: NonNullable<GatewayCommand['tls']>): string[] {
  const creds = ['tls-creds-x509', 'id=tls0', 'endpoint=server', `dir=${value(folder)}`, 'verify-peer=on'];
  return [
    ...['--object', [...creds, `priority=${TLS_PRIORITY}`].join(',')],
    ...['--object', `authz-simple,id=host0,identity=${value(distinguishedName)}`],
  ];
}
