// Memory of each process of a run besides the ring: resident pages without those of shared memory, as /proc/PID/status
// says (VmRSS less RssShmem), looked at every few milliseconds.
import { readFileSync, readlinkSync } from 'node:fs';
import { basename } from 'node:path';
import { errnoOf } from '../../src/base/mod.ts';
import type { ControlGroup } from './cgroup.ts';

const INTERVAL_MS = 10;

export interface ProcessPeak {
  /** What the process is, from its command line. */
  readonly role: string;
  /** Largest resident size without shared memory, in bytes: heap, code and libraries. */
  readonly residentBytes: number;
  /** Of that, memory that no file backs and no other process shares. */
  readonly anonymousBytes: number;
}

/** Watches until stopped; programs other than Node.js (shells, sync) are left out. */
export function watchMemory(group: ControlGroup): { stop(): readonly ProcessPeak[] } {
  const peaks = new Map<number, ProcessPeak>();
  const timer = setInterval(() => {
    for (const pid of group.pids()) {
      const now = lookAt(pid);
      if (now === 'ended') continue;
      // Between fork and exec a process still looks like the one that started it.
      if (now === 'other') peaks.delete(pid);
      if (now === 'other') continue;
      const before = peaks.get(pid);
      peaks.set(pid, {
        role: now.role,
        residentBytes: Math.max(before?.residentBytes ?? 0, now.residentBytes),
        anonymousBytes: Math.max(before?.anonymousBytes ?? 0, now.anonymousBytes),
      });
    }
  }, INTERVAL_MS);
  return {
    stop: () => {
      clearInterval(timer);
      return [...peaks.values()];
    },
  };
}

function lookAt(pid: number): ProcessPeak | 'other' | 'ended' {
  try {
    if (!basename(readlinkSync(`/proc/${pid}/exe`)).startsWith('node')) return 'other';
    const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').filter(Boolean);
    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    const bytes = (field: string): number =>
      Number(new RegExp(`^${field}:\\s+(\\d+)`, 'm').exec(status)?.[1] ?? 0) * 1024;
    return {
      role: roleOf(words),
      residentBytes: bytes('VmRSS') - bytes('RssShmem'),
      anonymousBytes: bytes('RssAnon'),
    };
  } catch (error) {
    // It ended between the list and the look.
    if (errnoOf(error) === 'ENOENT' || errnoOf(error) === 'ESRCH') return 'ended';
    throw error;
  }
}

/** The title that a process gave itself, else its program and command: without paths and options. */
function roleOf(words: readonly string[]): string {
  const [first = '?', ...rest] = words.filter((word) => !word.startsWith('-'));
  if (!basename(first).startsWith('node')) return basename(first.split(' ')[0] ?? first);
  const command = rest[1] !== undefined && /^[a-z-]+$/.test(rest[1]) ? ` ${rest[1]}` : '';
  return `${basename(rest[0] ?? '?')}${command}`;
}
