// Our own program on its command line, as a user starts it.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Contender, Job } from './contender.ts';
import { projectFolder } from './machine.ts';
import { type Command, type Finished, run } from './run.ts';

/** The program as it is installed. */
export const program = join(projectFolder(), 'dist/run/cli/understudy.js');

export function oursObstacle(): string | null {
  return existsSync(program) ? null : 'dist/run/cli/understudy.js is not built';
}

export function oursCommand(source: string, targets: readonly string[], ...options: string[]): Command {
  return [process.execPath, program, 'copy', source, ...targets, '--yes', '--quiet', '--json', ...options];
}

/** One process with all targets; its own flush is inside its time, so nothing is added. */
export function ours(...options: string[]): Contender {
  return {
    name: ['understudy', ...options].join(' '),
    needsTargets: false,
    obstacle: oursObstacle,
    version: async () => 'this commit',
    run: async (job: Job) => {
      await run(job.workbench, job.group, oursCommand(job.source, job.targets, ...options));
    },
  };
}

export interface OursTarget {
  readonly ok: boolean;
  readonly seconds: number;
  readonly startBlock: number;
}

/** The targets in the JSON that a copy printed. */
export function oursTargets(finished: Finished): readonly OursTarget[] {
  return (JSON.parse(finished.stdout) as { targets: OursTarget[] }).targets;
}
