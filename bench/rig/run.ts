// Starting programs inside a control group, and timing them from before their start to their exit.
import { spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { ControlGroup } from './cgroup.ts';
import type { Workbench } from './workbench.ts';

export type Command = readonly [string, ...string[]];

export interface Finished {
  readonly command: Command;
  /** Exit status, or the name of the signal that ended it (SIGKILL: often too little memory in the group). */
  readonly status: number | NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
  /** performance.now() before the start and at the exit. */
  readonly startMs: number;
  readonly endMs: number;
  readonly seconds: number;
}

export class CommandError extends Error {
  constructor(finished: Finished) {
    const words = finished.stderr.trim().split('\n').slice(-3).join(' / ');
    super(`${finished.command.slice(0, 3).join(' ')} ended with status ${finished.status}: ${words}`);
    this.name = 'CommandError';
  }
}

// The shell joins the group before it becomes the program, so that not one page or microsecond is charged elsewhere.
const JOIN_THEN_EXEC = 'for file in $JOIN_FILES; do echo $$ >"$file" || exit 125; done; exec "$@"';

export interface Running {
  readonly pid: number;
  /** Rejects when the program cannot be started; any exit status resolves. */
  readonly finished: Promise<Finished>;
}

/**
 * Output goes to files, not to pipes: a detached process that inherits a pipe would hold it open beyond the end of the
 * program that is timed.
 * @param inherited open files that it has as 3 and on
 */
export function start(
  workbench: Workbench,
  group: ControlGroup,
  command: Command,
  inherited: readonly number[] = [],
): Running {
  const stem = join(workbench.folder, workbench.uniqueName('output'));
  const files = [`${stem}.out`, `${stem}.err`] as const;
  const fds = files.map((file) => openSync(file, 'w'));
  const startMs = performance.now();
  const child = spawn('/bin/sh', ['-c', JOIN_THEN_EXEC, 'sh', ...command], {
    stdio: ['ignore', ...fds, ...inherited],
    env: { ...process.env, LC_ALL: 'C', JOIN_FILES: group.joinFiles.join(' ') },
  });
  for (const fd of fds) closeSync(fd);
  workbench.track(child);
  const finished = new Promise<Finished>((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code, signal) => {
      const endMs = performance.now();
      const [stdout, stderr] = files.map((file) => readFileSync(file, 'utf8'));
      for (const file of files) rmSync(file, { force: true });
      const seconds = (endMs - startMs) / 1000;
      const status = code ?? signal;
      resolve({ command, status, stdout: stdout ?? '', stderr: stderr ?? '', startMs, endMs, seconds });
    });
  });
  return { pid: child.pid ?? -1, finished };
}

/** @throws CommandError unless the exit status is 0. */
export async function run(workbench: Workbench, group: ControlGroup, command: Command): Promise<Finished> {
  const finished = await start(workbench, group, command).finished;
  if (finished.status !== 0) throw new CommandError(finished);
  return finished;
}

/** All at the same time, each to its end; then the first failure is thrown, if any. */
export async function runTogether(
  workbench: Workbench,
  group: ControlGroup,
  commands: readonly Command[],
): Promise<Finished[]> {
  const all = await Promise.all(commands.map((command) => start(workbench, group, command).finished));
  const failed = all.find((finished) => finished.status !== 0);
  if (failed) throw new CommandError(failed);
  return all;
}
