// What every benchmark is given and gives.
import type { BenchOptions } from './options.ts';
import type { Report } from './report.ts';
import type { Contender } from './rig/contender.ts';
import type { Workbench } from './rig/workbench.ts';

export interface Bench {
  readonly workbench: Workbench;
  readonly options: BenchOptions;
  /** Progress for people, on standard error. */
  say(line: string): void;
}

export interface Question {
  readonly name: string;
  run(bench: Bench): Promise<Report>;
}

/** Rivals that can take part, and rows that say why the others cannot. */
export async function chooseRivals(
  bench: Bench,
  rivals: readonly Contender[],
): Promise<{ present: Contender[]; notes: string[] }> {
  const present: Contender[] = [];
  const notes: string[] = [];
  const words = bench.options.peers;
  for (const rival of rivals) {
    const obstacle = rival.obstacle();
    if (words !== null && !words.some((word) => rival.name.includes(word))) continue;
    if (obstacle !== null) notes.push(`${rival.name}: absent, ${obstacle}`);
    else {
      present.push(rival);
      notes.push(`${rival.name}: ${await rival.version()}`);
    }
  }
  return { present, notes };
}
