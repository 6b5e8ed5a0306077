// The watchdog of a sandbox without a control group: looks at the resident memory and the number of all its processes
// together.
import { readdirSync, readFileSync } from 'node:fs';
import type { GroupLimits } from './control-group.ts';

const LOOK_MS = 200;
const KIB = 1024;

interface Seen {
  readonly parent: number;
  readonly residentBytes: number;
  readonly tasks: number;
}

/**
 * Tells, once, when a process and its descendants have more than they may. Orphans count as long as the process
 * namespace of the sandbox keeps them below its first process.
 * @returns ends it
 */
export function watchOver(pid: number, limits: GroupLimits, onExceeded: (what: string) => void): () => void {
  const timer = setInterval(() => {
    const { residentBytes, tasks } = usageOf(pid);
    if (residentBytes <= limits.memoryBytesMax && tasks <= limits.tasksMax) return;
    clearInterval(timer);
    onExceeded(residentBytes > limits.memoryBytesMax ? 'memory' : 'processes');
  }, LOOK_MS);
  timer.unref();
  return () => clearInterval(timer);
}

/** Of a process and all below it. What is shared between them counts for each. */
export function usageOf(pid: number): { readonly residentBytes: number; readonly tasks: number } {
  const seen = allProcesses();
  const children = new Map<number, number[]>();
  for (const [child, { parent }] of seen) children.set(parent, [...(children.get(parent) ?? []), child]);
  let residentBytes = 0;
  let tasks = 0;
  const pending = [pid];
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    residentBytes += seen.get(next)?.residentBytes ?? 0;
    tasks += seen.get(next)?.tasks ?? 0;
    pending.push(...(children.get(next) ?? []));
  }
  return { residentBytes, tasks };
}

function allProcesses(): ReadonlyMap<number, Seen> {
  const seen = new Map<number, Seen>();
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const status = statusOf(name);
    if (status !== null) seen.set(Number(name), status);
  }
  return seen;
}

/** proc_pid_status(5): pages of files are the page cache's, which the kernel takes back. */
function statusOf(name: string): Seen | null {
  try {
    const text = readFileSync(`/proc/${name}/status`, 'utf8');
    const number = (field: string): number => Number(new RegExp(`^${field}:\\s+(\\d+)`, 'm').exec(text)?.[1] ?? 0);
    const residentBytes = (number('RssAnon') + number('RssShmem')) * KIB;
    return { parent: number('PPid'), residentBytes, tasks: number('Threads') };
  } catch {
    // It has ended since.
    return null;
  }
}
