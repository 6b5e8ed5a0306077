// The file that keeps what a lead has overwritten since its snapshot. It loses its name as soon as the daemon has
// opened it, so it is gone with the snapshot or with the daemon, and at most a crash in the moment between leaves a
// name.
import { closeSync, mkdirSync, openSync, rmSync, truncateSync } from 'node:fs';
import { statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { formatBytes, limits, messageOf, requireTool, runTool, UnderstudyError } from '../../base/mod.ts';
import type { OverlayFile } from './graph.ts';

const FOLDER = '.overlays';
/** The tables of qcow2 and room for the first few writes; less is not worth beginning. */
export const OVERLAY_BYTES_MIN = limits.MIB;
/** Bounds are whole clusters of qcow2. */
const CLUSTER_BYTES = 64 * limits.KIB;
/** What a lead's disk held is nobody else's to read, whatever mode the folder has. */
const PRIVATE_MODE = 0o600;
/** Share of the free space that one overlay may fill: leads' own sparse files may lie on the same file system. */
const FREE_SHARE = 7 / 8;

export interface OverlayRequest {
  readonly folder: string;
  /** File name without its end; unique among overlays that are being made. */
  readonly name: string;
  readonly volumeBytes: number;
  readonly boundBytesMax: number;
}

/** @throws STORAGE_SPACE when there is no room to begin with, STORAGE_FAILED, TOOL_MISSING */
export async function makeOverlay(request: OverlayRequest): Promise<OverlayFile> {
  const folder = join(request.folder, FOLDER);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const boundBytes = await boundOf(request);
  const path = join(folder, `${request.name}.qcow2`);
  const qemuImg = requireTool('qemu-img', 'qemu-utils');
  try {
    // A name that a crash left, or anything else. qemu-img would write through a link, and make a new file with mode
    // 0644; one that is there keeps its mode.
    dropOverlayName(path);
    closeSync(openSync(path, 'wx', PRIVATE_MODE));
    const args = ['create', '-q', '-f', 'qcow2', path, String(request.volumeBytes)];
    const { status, stderr } = await runTool(qemuImg, args);
    if (status !== 0) throw new Error(stderr.trim());
    truncateSync(path, boundBytes);
  } catch (cause) {
    dropOverlayName(path);
    throw new UnderstudyError('STORAGE_FAILED', `an overlay cannot be made: ${messageOf(cause)}`, { cause });
  }
  return { path, boundBytes };
}

async function boundOf({ folder, boundBytesMax }: OverlayRequest): Promise<number> {
  const free = await freeBytesOf(folder);
  const bound = Math.min(boundBytesMax, free * FREE_SHARE);
  if (bound >= OVERLAY_BYTES_MIN) return Math.floor(bound / CLUSTER_BYTES) * CLUSTER_BYTES;
  const message = `${folder} has ${formatBytes(free)} free, too little for the overlay of a snapshot: make room there`;
  throw new UnderstudyError('STORAGE_SPACE', message, { details: { freeBytes: free } });
}

export async function freeBytesOf(folder: string): Promise<number> {
  const { bavail, bsize } = await statfs(folder);
  return bavail * bsize;
}

export function dropOverlayName(path: string): void {
  rmSync(path, { force: true });
}

/** Removes the names that a crash left. Nobody may be making an overlay. */
export function removeOverlays(folder: string): void {
  rmSync(join(folder, FOLDER), { recursive: true, force: true });
}
