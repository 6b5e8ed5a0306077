// A control group for one sandbox (cgroups(7)): memory and tasks of all its processes together. Where none can be made,
// for want of rights or controllers, a watchdog looks after both (watch.ts).
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  statfsSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { errnoOf } from '../base/mod.ts';

const ROOT = '/sys/fs/cgroup';
const REMOVE_TRIES_MAX = 200;
const REMOVE_PAUSE_MS = 5;

export interface GroupLimits {
  readonly memoryBytesMax: number;
  readonly tasksMax: number;
}

/** statfs(2): CGROUP_SUPER_MAGIC and CGROUP2_SUPER_MAGIC. */
const TYPES = [0x27e0eb, 0x63677270];

/** Where the two limits of one version of control groups are written. */
interface Layout {
  /** Folders in which a group of ours is to be made. */
  readonly parents: readonly string[];
  readonly memory: readonly string[];
}

/**
 * Between making a group and the first process in it lies a moment; one that has none after so long was left by a
 * process that died.
 */
const ABANDONED_MS = 60_000;

let made = 0;
const swept = new Set<string>();

export class ControlGroup {
  /** For cgroup.procs: whoever is in all of them is bound by all limits. */
  readonly folders: readonly string[];

  private constructor(folders: readonly string[]) {
    this.folders = folders;
  }

  /** Null: this process may not make one, or the system has no controllers for it. */
  static make(limits: GroupLimits): ControlGroup | null {
    for (const layout of layouts()) {
      const group = tryLayout(layout, limits);
      if (group !== null) return new ControlGroup(group);
    }
    return null;
  }

  /** Its processes have ended, or are about to. What cannot be removed then is empty and costs nothing. */
  async remove(): Promise<void> {
    for (const folder of this.folders) {
      for (let tries = 0; tries < REMOVE_TRIES_MAX; tries++) {
        const errno = tryRemove(folder);
        if (errno !== 'EBUSY') break;
        await delay(REMOVE_PAUSE_MS);
      }
    }
  }
}

function tryRemove(folder: string): string | null {
  try {
    rmdirSync(folder);
    return null;
  } catch (error) {
    return errnoOf(error) ?? 'unknown';
  }
}

/** Version 2 first, in our own group and at its root; then version 1, whose controllers have a tree each. */
function layouts(): readonly Layout[] {
  const groups = ownGroups();
  const second = groups.get('');
  const version2 = second === undefined ? [] : [...new Set([join(ROOT, second), ROOT])];
  const [memory, tasks] = [groups.get('memory'), groups.get('pids')];
  return [
    ...version2.map((parent) => ({ parents: [parent], memory: ['memory.max', 'memory.swap.max'] })),
    ...(memory === undefined || tasks === undefined
      ? []
      : [
          {
            parents: [join(ROOT, 'memory', memory), join(ROOT, 'pids', tasks)],
            memory: ['memory.limit_in_bytes', 'memory.memsw.limit_in_bytes'],
          },
        ]),
  ];
}

/** Our groups by controller, '' being version 2 (/proc/self/cgroup of cgroups(7)). */
function ownGroups(): ReadonlyMap<string, string> {
  const groups = new Map<string, string>();
  for (const line of readOr('/proc/self/cgroup', '').split('\n')) {
    const [, controllers, path] = /^\d+:([^:]*):(.*)$/.exec(line) ?? [];
    if (controllers === undefined || path === undefined) continue;
    for (const controller of controllers.split(',')) groups.set(controller, path);
  }
  return groups;
}

function tryLayout({ parents, memory }: Layout, limits: GroupLimits): readonly string[] | null {
  const folders: string[] = [];
  const name = `understudy-${process.pid}-${++made}`;
  try {
    for (const parent of parents) {
      if (!TYPES.includes(statfsSync(parent).type)) throw new Error(`${parent} holds no control groups`);
      sweep(parent);
      const folder = join(parent, name);
      mkdirSync(folder);
      folders.push(folder);
    }
    const [first = '', last = first] = folders;
    const [limit = '', swap = ''] = memory;
    writeFileSync(join(first, limit), String(limits.memoryBytesMax));
    // Without an account of swap there is no file of it; in version 2 it counts what is swapped only.
    writeIfThere(join(first, swap), swap.startsWith('memory.swap') ? '0' : String(limits.memoryBytesMax));
    writeFileSync(join(last, 'pids.max'), String(limits.tasksMax));
    return folders;
  } catch {
    // Whatever is missing, it is not a place for a group of ours; the next one is tried, and then the watchdog does it.
    for (const folder of folders) tryRemove(folder);
    return null;
  }
}

/** Removes what processes left that were killed, once in our life. One with processes in it cannot be removed. */
function sweep(parent: string): void {
  if (swept.has(parent)) return;
  swept.add(parent);
  for (const name of readdirSync(parent)) {
    const [, pid] = /^understudy-(\d+)-\d+$/.exec(name) ?? [];
    if (pid === undefined || existsSync(`/proc/${pid}`)) continue;
    const folder = join(parent, name);
    if (Date.now() - (statSync(folder, { throwIfNoEntry: false })?.ctimeMs ?? Date.now()) > ABANDONED_MS)
      tryRemove(folder);
  }
}

function writeIfThere(path: string, text: string): void {
  try {
    writeFileSync(path, text, { flag: 'r+' });
  } catch {
    // The limit of memory itself holds.
  }
}

function readOr(path: string, otherwise: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return otherwise;
  }
}
