// Both ways to bound what a sandbox takes: the watchdog looks at all processes together, the control group is the
// kernel's.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterEach, expect, it, vi } from 'vitest';
import { ControlGroup } from './control-group.ts';
import { watchOver } from './watch.ts';

const MIB = 1024 * 1024;
let child: ChildProcess | null = null;

afterEach(async () => {
  const last = child;
  child = null;
  if (last?.pid === undefined || last.exitCode !== null || last.signalCode !== null) return;
  const ended = once(last, 'exit');
  process.kill(-last.pid, 'SIGKILL');
  await ended;
});

async function exceeded(script: string, limits: { memoryBytesMax: number; tasksMax: number }): Promise<string> {
  const started = spawn('/bin/sh', ['-c', script], { stdio: 'ignore', detached: true });
  child = started;
  return new Promise((resolve) => watchOver(started.pid ?? 0, limits, resolve));
}

it('watchdog - memory counts of all processes below, also where each has little', async () => {
  const one = `${process.execPath} -e 'globalThis.kept = Buffer.alloc(64 * 1024 * 1024, 1); setInterval(() => {}, 1000)'`;
  const limits = { memoryBytesMax: 200 * MIB, tasksMax: 1000 };
  expect(await exceeded(`${one} & ${one} & ${one} & wait`, limits)).toBe('memory');
});

it('watchdog - processes count, with their children', async () => {
  const script = 'i=0; while [ $i -lt 12 ]; do (sleep 600 & sleep 600) & i=$((i+1)); done; wait';
  expect(await exceeded(script, { memoryBytesMax: 2 ** 40, tasksMax: 20 })).toBe('processes');
});

it('control group - what a process left that was killed is removed by the next one', async () => {
  const group = ControlGroup.make({ memoryBytesMax: 256 * MIB, tasksMax: 5 });
  if (group === null) return;
  await group.remove();
  // Of a number that no process has: process numbers end at 2^22 (proc_sys_kernel(5)).
  const left = group.folders.map((folder) => join(dirname(folder), 'understudy-4194305-1'));
  for (const folder of left) mkdirSync(folder);
  vi.useFakeTimers({ now: Date.now() + 120_000, toFake: ['Date'] });
  vi.resetModules();
  const { ControlGroup: Another } = await import('./control-group.ts');
  const next = Another.make({ memoryBytesMax: 256 * MIB, tasksMax: 5 });
  vi.useRealTimers();
  expect(left.filter((folder) => existsSync(folder))).toEqual([]);
  await next?.remove();
});

it('control group - bounds tasks, where one can be made, and leaves nothing behind', async () => {
  const group = ControlGroup.make({ memoryBytesMax: 256 * MIB, tasksMax: 5 });
  // Without rights or controllers there is none, and the watchdog does it.
  if (group === null) return;
  const join1 = group.folders.map((folder) => `echo $$ > ${join(folder, 'cgroup.procs')}`).join('; ');
  const forks = `${join1}; for i in 1 2 3 4 5 6 7 8 9; do sleep 600 > /dev/null 2>&1 & done; echo all`;
  const { stdout, status } = spawnSync('/bin/sh', ['-c', forks], { encoding: 'utf8' });
  expect([stdout.includes('all'), status === 0]).toEqual([false, false]);
  for (const folder of group.folders) {
    for (const pid of readFileSync(join(folder, 'cgroup.procs'), 'utf8').split('\n').filter(Boolean))
      process.kill(Number(pid), 'SIGKILL');
  }
  await group.remove();
  expect(group.folders.filter((folder) => existsSync(folder))).toEqual([]);
});
