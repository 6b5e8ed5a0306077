// Another certificate for a machine that runs. QEMU 7.2 reads certificates once and cannot be told to read them again,
// so the machine gets a second NBD client with the new ones, and its disk is put on that between two requests
// (blockdev-reopen). The guest notices nothing. Every step finds out what is there: after a crash in the middle the
// next call goes on.
import type { MachineTls } from './credentials.ts';
import { netName, netNode, tlsName, tlsObject, topNode } from './disk.ts';
import type { Monitor } from './qmp.ts';

interface NodeInfo {
  readonly 'node-name'?: string;
}

interface ObjectInfo {
  readonly name: string;
  readonly type: string;
}

interface Found {
  /** NBD clients and credentials that the machine has, by their names. */
  readonly clients: readonly string[];
  readonly credentials: readonly string[];
}

async function find(monitor: Monitor): Promise<Found> {
  const nodes = (await monitor.execute('query-named-block-nodes', { flat: true })) as readonly NodeInfo[];
  const objects = (await monitor.execute('qom-list', { path: '/objects' })) as readonly ObjectInfo[];
  return {
    clients: nodes.flatMap((node) => node['node-name'] ?? []).filter((name) => name.startsWith(netName(''))),
    credentials: objects.filter(({ type }) => type === 'child<tls-creds-x509>').map(({ name }) => name),
  };
}

/** Whether its disk comes over TLS, with other certificates than those. @throws MonitorSilent, MonitorRefused */
export async function needsRenewal(monitor: Monitor, id: string): Promise<boolean> {
  const { clients, credentials } = await find(monitor);
  if (clients.length === 0) return false;
  return clients.some((name) => name !== netName(id)) || credentials.some((name) => name !== tlsName(id));
}

/** @returns true @throws MonitorSilent, MonitorRefused */
export async function renewDisk(monitor: Monitor, uri: string, tls: MachineTls): Promise<boolean> {
  const { clients, credentials } = await find(monitor);
  const [client, own] = [netName(tls.id), tlsName(tls.id)];
  if (!credentials.includes(own)) await monitor.execute('object-add', tlsObject(tls));
  if (!clients.includes(client)) await monitor.execute('blockdev-add', netNode(uri, tls));
  await monitor.execute('blockdev-reopen', { options: [topNode(tls)] });
  for (const name of clients) if (name !== client) await monitor.execute('blockdev-del', { 'node-name': name });
  for (const id of credentials) if (id !== own) await monitor.execute('object-del', { id });
  return true;
}
