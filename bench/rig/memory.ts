// Memory of each process of a run besides the ring: resident pages without those of shared memory, as /proc/PID/status
// says (VmRSS less RssShmem), looked at every few milliseconds.
import { readFileSync } from 'node:fs';
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
    const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').filter(Boolean);
    if (!basename(words[0] ?? '').startsWith('node')) return 'other';
    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    const bytes = (field: string): number =>
      Number(new RegExp(`^${field}:\\s+(\\d+)`, 'm').exec(status)?.[1] ?? 0) * 1024;
    return {
      role: roleOf(words.slice(1)),
      residentBytes: bytes('VmRSS') - bytes('RssShmem'),
      anonymousBytes: bytes('RssAnon'),
    };
  } catch (error) {
    // It ended between the list and the look.
    if (errnoOf(error) === 'ENOENT' || errnoOf(error) === 'ESRCH') return 'ended';
    throw error;
  }
}

/** "understudy.js copy": the program and its command, without paths and options. */
function roleOf(words: readonly string[]): string {
  const plain = words.filter((word) => !word.startsWith('-'));
  const command = plain[1] !== undefined && /^[a-z-]+$/.test(plain[1]) ? ` ${plain[1]}` : '';
  return `${basename(plain[0] ?? '?')}${command}`;
}
