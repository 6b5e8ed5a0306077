// The block graph of a volume in the daemon, and the commands that change it, each of which finds out first what is there: called
// again after any failure, it ends in the same graph.
//
//   host (NBD) --> top (raw) --> file            a volume that is attached, or being filled (NBD, "fill")
//
//   host (NBD) --> top --> cbw --> file          while a snapshot exists: before the first write to a cluster, cbw copies
//                           |                    what was there to the overlay
//   copy (NBD) --> view ----+
//                           +--> over (qcow2) --> room (raw, bounded) --> disk (file)
//
// "top" is there all the time so that "cbw" can be put below it and taken away while the host writes (blockdev-reopen).
import { closeSync, constants, openSync, statSync } from 'node:fs';
import { errnoOf, messageOf, UnderstudyError } from '../../base/mod.ts';
import { baseOf, baseOfName, EXPORT_PARTS, type ExportPart, type NodePart, nameOf } from '../names.ts';
import {
  addExport,
  addNode,
  type ExportInfo,
  type NodeInfo,
  type NodeOptions,
  type QmpConnection,
  queryExports,
  queryNodes,
  removeExport,
  removeNode,
  reopenNode,
} from '../qmp/mod.ts';

export interface VolumePlace {
  readonly name: string;
  /** Raw file or block device. */
  readonly path: string;
}

/** Seconds after which a lead's write no longer waits for the overlay, and the snapshot is given up instead. */
const OVERLAY_TIMEOUT_SECONDS = 5;

/** What the daemon has at one moment. */
export class Observed {
  readonly #nodes: ReadonlySet<string>;
  readonly #exports: ReadonlySet<string>;
  /** Bases of all volumes that have nodes or exports of ours. */
  readonly bases: ReadonlySet<string>;

  constructor(nodes: readonly NodeInfo[], exports: readonly ExportInfo[]) {
    this.#nodes = new Set(nodes.map(({ name }) => name));
    this.#exports = new Set(exports.map(({ id }) => id));
    const bases = [...this.#nodes, ...this.#exports].map(baseOfName).filter((base) => base !== null);
    this.bases = new Set(bases);
  }

  static async of(qmp: QmpConnection): Promise<Observed> {
    const [nodes, exports] = await Promise.all([queryNodes(qmp), queryExports(qmp)]);
    return new Observed(nodes, exports);
  }

  hasNode(base: string, part: NodePart): boolean {
    return this.#nodes.has(nameOf(base, part));
  }

  hasExport(base: string, part: ExportPart): boolean {
    return this.#exports.has(nameOf(base, part));
  }
}

function topOptions(base: string, below: 'file' | 'cbw'): NodeOptions {
  return { driver: 'raw', 'node-name': nameOf(base, 'top'), file: nameOf(base, below), discard: 'unmap' };
}

/** Makes "top" and "file" of a volume, unless they are there. @throws STORAGE_FAILED, VOLUME_BUSY */
export async function openVolume(qmp: QmpConnection, { name, path }: VolumePlace): Promise<void> {
  const base = baseOf(name);
  const observed = await Observed.of(qmp);
  if (!observed.hasNode(base, 'file')) {
    const driver = storageDriver(path);
    const file = nameOf(base, 'file');
    await addNode(qmp, { driver, 'node-name': file, filename: path, discard: 'unmap', locking: 'on' });
  }
  if (!observed.hasNode(base, 'top')) await addNode(qmp, topOptions(base, 'file'));
}

/** @throws STORAGE_FAILED, VOLUME_BUSY when the kernel of the storage node itself uses the device */
function storageDriver(path: string): 'file' | 'host_device' {
  try {
    const stats = statSync(path);
    if (stats.isFile()) return 'file';
    if (!stats.isBlockDevice()) throw new UnderstudyError('STORAGE_FAILED', `${path} is no file and no block device`);
    // Refused while somebody mounts or otherwise claims the device (open(2), O_EXCL).
    closeSync(openSync(path, constants.O_RDWR | constants.O_EXCL));
    return 'host_device';
  } catch (cause) {
    if (cause instanceof UnderstudyError) throw cause;
    if (errnoOf(cause) === 'EBUSY') {
      throw new UnderstudyError('VOLUME_BUSY', `${path} is mounted, or held by another program`, { cause });
    }
    throw new UnderstudyError('STORAGE_FAILED', `${path} cannot be opened: ${messageOf(cause)}`, { cause });
  }
}

/** Offers a volume under a name, unless it is offered. @throws STORAGE_FAILED */
export async function exportVolume(
  qmp: QmpConnection,
  volume: string,
  part: 'host' | 'fill',
  name: string,
): Promise<void> {
  const base = baseOf(volume);
  const observed = await Observed.of(qmp);
  if (observed.hasExport(base, part)) return;
  await addExport(qmp, { id: nameOf(base, part), node: nameOf(base, 'top'), name, writable: true });
}

/** Ends an export, and the volume's nodes when nothing uses them any more. */
export async function endExport(qmp: QmpConnection, base: string, part: 'host' | 'fill'): Promise<void> {
  const observed = await Observed.of(qmp);
  if (observed.hasExport(base, part)) await removeExport(qmp, nameOf(base, part));
  await closeVolume(qmp, base);
}

/** Removes "top" and "file" unless something uses them. */
export async function closeVolume(qmp: QmpConnection, base: string): Promise<void> {
  const observed = await Observed.of(qmp);
  const used = EXPORT_PARTS.some((part) => observed.hasExport(base, part)) || observed.hasNode(base, 'cbw');
  if (used) return;
  for (const part of ['top', 'file'] as const) {
    if (observed.hasNode(base, part)) await removeNode(qmp, nameOf(base, part));
  }
}

export interface OverlayFile {
  /** A qcow2 image of the volume's size in a file that is `boundBytes` long, whatever is in it. */
  readonly path: string;
  readonly boundBytes: number;
}

/**
 * Puts the filter below "top": the snapshot's moment. `opened` is called when the overlay's file is open and needs no name.
 * What fails on the way is left for `dropSnapshot`. @returns the time of the moment
 */
export async function insertSnapshot(
  qmp: QmpConnection,
  base: string,
  overlay: OverlayFile,
  opened: () => void,
): Promise<Date> {
  const node = (part: NodePart): string => nameOf(base, part);
  await addNode(qmp, { driver: 'file', 'node-name': node('disk'), filename: overlay.path, discard: 'unmap' });
  opened();
  // "size" refuses what would lie beyond it, so qcow2 finds its disk full there and the file never grows.
  await addNode(qmp, { driver: 'raw', 'node-name': node('room'), file: node('disk'), size: overlay.boundBytes });
  await addNode(qmp, { driver: 'qcow2', 'node-name': node('over'), file: node('room') });
  await addNode(qmp, {
    driver: 'copy-before-write',
    'node-name': node('cbw'),
    file: node('file'),
    target: node('over'),
    discard: 'unmap',
    'on-cbw-error': 'break-snapshot',
    'cbw-timeout': OVERLAY_TIMEOUT_SECONDS,
  });
  // Not before it is in place: a filter that somebody reads wants to be the only way to write.
  await reopenNode(qmp, topOptions(base, 'cbw'));
  const takenAt = new Date();
  await addNode(qmp, { driver: 'snapshot-access', 'node-name': node('view'), file: node('cbw') });
  return takenAt;
}

export function exportSnapshot(qmp: QmpConnection, base: string, name: string): Promise<void> {
  return addExport(qmp, { id: nameOf(base, 'snap'), node: nameOf(base, 'view'), name, writable: false });
}

/** Removes a snapshot, whole or half made; the volume stays open. */
export async function dropSnapshot(qmp: QmpConnection, base: string): Promise<void> {
  const observed = await Observed.of(qmp);
  if (observed.hasExport(base, 'snap')) await removeExport(qmp, nameOf(base, 'snap'));
  if (observed.hasNode(base, 'view')) await removeNode(qmp, nameOf(base, 'view'));
  if (observed.hasNode(base, 'cbw')) {
    if (observed.hasNode(base, 'top')) await reopenNode(qmp, topOptions(base, 'file'));
    await removeNode(qmp, nameOf(base, 'cbw'));
  }
  for (const part of ['over', 'room', 'disk'] as const) {
    if (observed.hasNode(base, part)) await removeNode(qmp, nameOf(base, part));
  }
}

/** Leaves of a volume nothing but its host's export, or nothing at all. */
export async function clearVolume(qmp: QmpConnection, base: string, keepHost: boolean): Promise<void> {
  const observed = await Observed.of(qmp);
  if (observed.hasExport(base, 'fill')) await removeExport(qmp, nameOf(base, 'fill'));
  if (!keepHost && observed.hasExport(base, 'host')) await removeExport(qmp, nameOf(base, 'host'));
  await dropSnapshot(qmp, base);
  await closeVolume(qmp, base);
}
