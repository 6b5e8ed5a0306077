// Control groups: one memory limit around all processes of a run, their processor time together, and who is still alive.
// Version 1 (one hierarchy a controller) and version 2 (one for all), see the kernel's cgroup-v1 and cgroup-v2 guides.
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { errnoOf, limits } from '../../src/base/mod.ts';
import type { Workbench } from './workbench.ts';

export interface DeviceCap {
  /** MAJOR:MINOR of a whole device. */
  readonly majorMinor: string;
  readonly readBytesPerSecond?: number;
  readonly writeBytesPerSecond?: number;
}

export interface GroupOptions {
  /** Memory that all processes of the group may use together, page cache and shared memory included. */
  readonly memoryBytes?: number;
  /** Speeds of devices for the processes of this group. */
  readonly caps?: readonly DeviceCap[];
}

export interface ControlGroup {
  /** Files that a process writes its number to in order to join. */
  readonly joinFiles: readonly string[];
  /** User and system time of all processes that were ever in it, in seconds. */
  cpuSeconds(): number;
  pids(): readonly number[];
  /** Resolves when no process is left; a producer outlives its copies for a moment. */
  emptied(): Promise<void>;
}

const V1_ROOT = '/sys/fs/cgroup';
const EMPTY_MS_MAX = 15_000;
const POLL_MS = 10;

/** Why limits cannot be set here, or null when they can. */
export function cgroupObstacle(): string | null {
  if (process.getuid?.() !== 0) return 'needs root';
  return versionOf() === null ? 'needs the memory, cpuacct and blkio control groups' : null;
}

export function cgroupVersion(): string {
  const version = versionOf();
  return version === null ? 'none' : `v${version}`;
}

function versionOf(): 1 | 2 | null {
  const v1 = ['memory', 'cpuacct', 'blkio'];
  if (v1.every((name) => existsSync(join(V1_ROOT, name, 'cgroup.procs')))) return 1;
  const controllers = join(V1_ROOT, 'cgroup.controllers');
  if (!existsSync(controllers)) return null;
  const names = readFileSync(controllers, 'utf8').trim().split(' ');
  return ['memory', 'io', 'cpu'].every((name) => names.includes(name)) ? 2 : null;
}

/** A group of its own for one run, removed with the scope. Without control groups: one that limits and counts nothing. */
export function makeGroup(workbench: Workbench, options: GroupOptions = {}): ControlGroup {
  if (cgroupObstacle() !== null) return { joinFiles: [], cpuSeconds: () => 0, pids: () => [], emptied: async () => {} };
  return versionOf() === 1 ? makeV1(workbench, options) : makeV2(workbench, options);
}

function makeV1(workbench: Workbench, options: GroupOptions): ControlGroup {
  const name = workbench.uniqueName(`understudy-bench-${process.pid}`);
  // Below the group that this process is in, so that limits of whoever started it go on holding.
  const memory = join(V1_ROOT, 'memory', ownV1Path('memory'), name);
  const cpu = join(V1_ROOT, 'cpuacct', ownV1Path('cpuacct'), name);
  for (const folder of [memory, cpu]) makeFolder(workbench, folder);
  if (options.memoryBytes !== undefined) {
    writeFileSync(join(memory, 'memory.limit_in_bytes'), String(options.memoryBytes));
  }
  // Version 1 does not know for whom the kernel writes back: that happens in the root group. So caps are set there and
  // where our processes are, for that one device.
  const blkioFolders = new Set([join(V1_ROOT, 'blkio'), join(V1_ROOT, 'blkio', ownV1Path('blkio'))]);
  for (const cap of options.caps ?? []) for (const folder of blkioFolders) capV1(workbench, folder, cap);
  return {
    joinFiles: [join(memory, 'cgroup.procs'), join(cpu, 'cgroup.procs')],
    cpuSeconds: () => Number(readFileSync(join(cpu, 'cpuacct.usage'), 'utf8')) / 1e9,
    pids: () => pidsOf(memory),
    emptied: () => waitEmpty(memory),
  };
}

function ownV1Path(controller: string): string {
  for (const line of readFileSync('/proc/self/cgroup', 'utf8').split('\n')) {
    const [, names, path] = line.split(':');
    if (names?.split(',').includes(controller)) return path ?? '/';
  }
  return '/';
}

function capV1(workbench: Workbench, folder: string, cap: DeviceCap): void {
  const set = (file: string, rate: number): void => writeFileSync(join(folder, file), `${cap.majorMinor} ${rate}`);
  const limit = (file: string, rate: number | undefined): void => {
    if (rate === undefined) return;
    workbench.defer(() => set(file, 0));
    set(file, rate);
  };
  limit('blkio.throttle.read_bps_device', cap.readBytesPerSecond);
  limit('blkio.throttle.write_bps_device', cap.writeBytesPerSecond);
}

function makeV2(workbench: Workbench, options: GroupOptions): ControlGroup {
  const name = workbench.uniqueName(`understudy-bench-${process.pid}`);
  writeFileSync(join(V1_ROOT, 'cgroup.subtree_control'), '+memory +io +cpu');
  const folder = join(V1_ROOT, name);
  makeFolder(workbench, folder);
  if (options.memoryBytes !== undefined) {
    writeFileSync(join(folder, 'memory.max'), String(options.memoryBytes));
    const swap = join(folder, 'memory.swap.max');
    if (existsSync(swap)) writeFileSync(swap, '0');
  }
  for (const cap of options.caps ?? []) {
    const rate = `rbps=${cap.readBytesPerSecond ?? 'max'} wbps=${cap.writeBytesPerSecond ?? 'max'}`;
    writeFileSync(join(folder, 'io.max'), `${cap.majorMinor} ${rate}`);
  }
  return {
    joinFiles: [join(folder, 'cgroup.procs')],
    cpuSeconds: () => {
      const usage = /usage_usec (\d+)/.exec(readFileSync(join(folder, 'cpu.stat'), 'utf8'));
      return Number(usage?.[1] ?? 0) / 1e6;
    },
    pids: () => pidsOf(folder),
    emptied: () => waitEmpty(folder),
  };
}

function makeFolder(workbench: Workbench, folder: string): void {
  mkdirSync(folder);
  workbench.defer(() => removeFolder(folder));
}

function pidsOf(folder: string): number[] {
  const text = readFileSync(join(folder, 'cgroup.procs'), 'utf8');
  return text.split('\n').filter(Boolean).map(Number);
}

async function waitEmpty(folder: string): Promise<void> {
  const endMs = performance.now() + EMPTY_MS_MAX;
  while (pidsOf(folder).length > 0) {
    if (performance.now() > endMs) throw new Error(`processes ${pidsOf(folder).join(', ')} of a run did not end`);
    await delay(POLL_MS);
  }
}

/** Whoever is still in the group was started by this run: it gets time to leave, then it is ended by its number. */
async function removeFolder(folder: string): Promise<void> {
  try {
    await waitEmpty(folder);
  } catch {
    for (const pid of pidsOf(folder)) endProcess(pid);
    await waitEmpty(folder);
  }
  const endMs = performance.now() + EMPTY_MS_MAX;
  for (;;) {
    try {
      rmdirSync(folder);
      return;
    } catch (error) {
      // The kernel releases a group some time after its last process; until then it is busy.
      if (errnoOf(error) !== 'EBUSY' || performance.now() > endMs) throw error;
      await delay(POLL_MS);
    }
  }
}

function endProcess(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    if (errnoOf(error) !== 'ESRCH') throw error;
  }
}

/**
 * Memory for the regime "image larger than memory": a quarter of the image, but never less than what so many Node.js
 * processes and the ring need to run at all; everybody who is compared gets the same.
 */
export function smallMemoryBytes(imageBytes: number, processCount: number): number {
  const floorBytes = 256 * limits.MIB + processCount * 64 * limits.MIB;
  return Math.max(imageBytes / 4, floorBytes);
}
