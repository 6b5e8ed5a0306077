// The commands of qemu-storage-daemon that the storage node uses, typed: QEMU's QMP reference, "Block devices", for 7.2
// and later. Answers are checked for what is read of them and no further.
import * as z from 'zod';
import { limits } from '../../base/mod.ts';
import { type QmpConnection, refusalOf } from './connection.ts';

const nothing = z.unknown().transform(() => undefined);
/** An export ends when its last request has; a request to a disk can take as long as the kernel waits for one. */
const EXPORT_END_TIMEOUT_MS = 60_000;
/** Connections of hosts and copies together. */
const CONNECTIONS_MAX = 4096;

/** A node of the block graph: BlockdevOptions, with a name, as blockdev-add and blockdev-reopen take it. */
export interface NodeOptions {
  readonly driver: string;
  readonly 'node-name': string;
  readonly [option: string]: unknown;
}

export interface NodeInfo {
  readonly name: string;
  readonly driver: string;
  /** Of the file below it. */
  readonly file: string;
}

export interface ExportInfo {
  readonly id: string;
  readonly node: string;
}

export interface ExportOptions {
  readonly id: string;
  readonly node: string;
  /** As NBD clients name it. */
  readonly name: string;
  readonly writable: boolean;
}

export type ServerAddress =
  | { readonly kind: 'unix'; readonly path: string }
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number | null; readonly tls: boolean };

const nodes = z.array(
  z.object({ 'node-name': z.string().optional(), drv: z.string(), file: z.string() }).transform((node) => ({
    name: node['node-name'] ?? '',
    driver: node.drv,
    file: node.file,
  })),
);

export function queryNodes(qmp: QmpConnection): Promise<readonly NodeInfo[]> {
  return qmp.execute('query-named-block-nodes', { flat: true }, nodes);
}

const exports = z.array(
  z.object({ id: z.string(), 'node-name': z.string() }).transform((one) => ({ id: one.id, node: one['node-name'] })),
);

export function queryExports(qmp: QmpConnection): Promise<readonly ExportInfo[]> {
  return qmp.execute('query-block-exports', undefined, exports);
}

const statistics = z.array(
  z.object({
    'node-name': z.string().optional(),
    stats: z.object({ wr_highest_offset: z.number().int().nonnegative() }),
  }),
);

/**
 * End of the farthest write to a node since it was opened, also of one that failed; null when there is no such node.
 */
export async function writtenEnd(qmp: QmpConnection, node: string): Promise<number | null> {
  const all = await qmp.execute('query-blockstats', { 'query-nodes': true }, statistics);
  return all.find((one) => one['node-name'] === node)?.stats.wr_highest_offset ?? null;
}

export function addNode(qmp: QmpConnection, options: NodeOptions): Promise<void> {
  return qmp.execute('blockdev-add', options, nothing);
}

export function removeNode(qmp: QmpConnection, name: string): Promise<void> {
  return qmp.execute('blockdev-del', { 'node-name': name }, nothing);
}

/** Changes a node while it is used; all of its options have to be said again. */
export function reopenNode(qmp: QmpConnection, options: NodeOptions): Promise<void> {
  return qmp.execute('blockdev-reopen', { options: [options] }, nothing);
}

/** Starts the one NBD server of the daemon that holds the volumes. One that runs already is left as it is. */
export async function startServer(qmp: QmpConnection, path: string): Promise<void> {
  const addr = { type: 'unix', data: { path } };
  try {
    await qmp.execute('nbd-server-start', { addr, 'max-connections': CONNECTIONS_MAX }, nothing);
  } catch (error) {
    if (refusalOf(error)?.includes('already running') !== true) throw error;
  }
}

/** Ends the NBD server, all its exports and connections. One that does not run is no error. */
export async function stopServer(qmp: QmpConnection): Promise<void> {
  try {
    await qmp.execute('nbd-server-stop', undefined, nothing);
  } catch (error) {
    if (refusalOf(error)?.includes('not running') !== true) throw error;
  }
}

export function addExport(qmp: QmpConnection, options: ExportOptions): Promise<void> {
  const { id, node, name, writable } = options;
  return qmp.execute('block-export-add', { type: 'nbd', id, 'node-name': node, name, writable }, nothing);
}

/**
 * Ends an export, cutting its connections, and returns when it is gone: no request of a client is under way any more.
 */
export async function removeExport(qmp: QmpConnection, id: string): Promise<void> {
  const gone = qmp.expectEvent(`export ${id} is gone`, EXPORT_END_TIMEOUT_MS, (event) => {
    return event.name === 'BLOCK_EXPORT_DELETED' && event.data.id === id;
  });
  try {
    await Promise.all([qmp.execute('block-export-del', { id, mode: 'hard' }, nothing), gone.event]);
  } finally {
    gone.cancel();
  }
}

/** Ends the daemon in good order: everything is flushed and closed. The connection closes. */
export async function quit(qmp: QmpConnection): Promise<void> {
  await qmp.execute('quit', undefined, nothing);
}

/** How the node asks: an answer that takes longer than a disk may be silent will not come. */
export const QMP_TIMEOUTS = { connectTimeoutMs: 5000, commandTimeoutMs: 2 * limits.IO_TIMEOUT_MS } as const;
