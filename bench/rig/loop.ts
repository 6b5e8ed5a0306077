// Loop devices: block devices over files, whose speed the kernel can cap and whose transfers it counts, for whoever uses
// them and however (through the page cache or around it).
import { readFileSync, rmSync } from 'node:fs';
import { basename, join } from 'node:path';
import { runTool } from '../../src/base/mod.ts';
import type { Workbench } from './workbench.ts';

export interface LoopDevice {
  readonly path: string;
  readonly majorMinor: string;
  /** Bytes that the device has read, and written, since it exists (kernel's iostats: sectors of 512 bytes). */
  bytesRead(): number;
  bytesWritten(): number;
}

/** A fully allocated file for a loop device, removed with the scope. */
export async function makeBackingFile(workbench: Workbench, file: string, sizeBytes: number): Promise<void> {
  workbench.defer(() => rmSync(file, { force: true }));
  const made = await runTool('fallocate', ['--length', String(sizeBytes), file]);
  if (made.status !== 0) throw new Error(`fallocate: ${made.stderr.trim()}`);
}

/** Attaches a file with --direct-io=on, so that nothing is cached a second time below the device. */
export async function attachLoop(workbench: Workbench, file: string): Promise<LoopDevice> {
  const attached = await runTool('losetup', ['--find', '--show', '--direct-io=on', file]);
  if (attached.status !== 0) throw new Error(`losetup: ${attached.stderr.trim()}`);
  const path = attached.stdout.trim();
  workbench.defer(async () => {
    const detached = await runTool('losetup', ['--detach', path]);
    if (detached.status !== 0) throw new Error(`losetup: ${detached.stderr.trim()}`);
  });
  const folder = join('/sys/block', basename(path));
  const sectors = (field: number): number =>
    Number(readFileSync(join(folder, 'stat'), 'utf8').trim().split(/\s+/)[field]) * 512;
  return {
    path,
    majorMinor: readFileSync(join(folder, 'dev'), 'utf8').trim(),
    bytesRead: () => sectors(2),
    bytesWritten: () => sectors(6),
  };
}

/** Why loop devices cannot be used here, or null. */
export function loopObstacle(): string | null {
  return process.getuid?.() === 0 ? null : 'needs root for loop devices';
}
