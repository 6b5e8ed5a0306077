// `--direct auto`: when is a source better read through the page cache? Cold, already in the page cache, and larger than memory.
import { formatBytes, limits } from '../src/base/mod.ts';
import type { Bench, Question } from './question.ts';
import type { Report, Table } from './report.ts';
import { cgroupObstacle, smallMemoryBytes } from './rig/cgroup.ts';
import { fileTargets, measure } from './rig/contender.ts';
import { writeRandomImage } from './rig/image.ts';
import { ours } from './rig/ours.ts';
import { alternate, formatSpread, ratiosOf, spreadOf } from './rig/pair.ts';

const COUNTS = [1, 4];
const SIZE_BYTES = 2 * limits.GIB;
const ROUNDS = 3;

interface Setting {
  readonly heading: string;
  readonly warmSource: boolean;
  readonly memoryBytes?: number;
  /** What reads through the page cache here. */
  readonly cached: 'auto' | 'off';
}

export const direct: Question = { name: 'direct', run: runDirect };

async function runDirect(bench: Bench): Promise<Report> {
  const { options, workbench } = bench;
  const sizeBytes = options.sizeBytes ?? SIZE_BYTES;
  const source = `${workbench.folder}/source.img`;
  writeRandomImage(source, sizeBytes);
  const memoryBytes = smallMemoryBytes(sizeBytes, 2);
  const settings: Setting[] = [
    { heading: 'Image fits in memory, not in the page cache yet', warmSource: false, cached: 'auto' },
    { heading: 'Image in the page cache already', warmSource: true, cached: 'auto' },
  ];
  const notes: string[] = [];
  const obstacle = cgroupObstacle();
  const small = `Image larger than memory (${formatBytes(memoryBytes)})`;
  if (obstacle === null) settings.push({ heading: small, warmSource: false, memoryBytes, cached: 'off' });
  else notes.push(`image larger than memory: not measured, ${obstacle}`);
  const tables: Table[] = [];
  for (const setting of settings) tables.push(await measureSetting(bench, setting, source, sizeBytes));
  return {
    name: 'direct',
    title: 'Reading the source past the page cache or through it',
    method:
      `${formatBytes(sizeBytes)} of random data to K files on the same disk. Past it is --direct on. Through it is --direct auto where ` +
      'that chooses the page cache for the source, and else --direct off, with which the targets too are written through it.',
    target: '--direct auto chooses what is faster.',
    tables,
    notes,
  };
}

async function measureSetting(bench: Bench, setting: Setting, source: string, sizeBytes: number): Promise<Table> {
  const { options, workbench } = bench;
  const { warmSource, memoryBytes, heading } = setting;
  const rows: string[][] = [];
  for (const count of options.counts ?? COUNTS) {
    bench.say(`direct: ${heading}, K = ${count}`);
    const targets = fileTargets(workbench.folder, count, sizeBytes);
    const common = {
      workbench,
      warmPrograms: options.warmPrograms,
      source,
      sourceBytes: sizeBytes,
      targets,
      inMemory: false,
    };
    const group = memoryBytes === undefined ? {} : { memoryBytes };
    const ready = memoryBytes === undefined ? { readyMemoryBytes: (count + 1) * sizeBytes } : {};
    const timed = async (mode: string): Promise<number> =>
      (await measure({ ...common, ...ready, group, warmSource, contender: ours('--direct', mode) })).seconds;
    const runs = await alternate(
      options.rounds ?? ROUNDS,
      () => timed(setting.cached),
      () => timed('on'),
    );
    const itself = (seconds: number): number => seconds;
    rows.push([
      ...[String(count), `${formatSpread(spreadOf(runs.a))} (${setting.cached})`, formatSpread(spreadOf(runs.b))],
      formatSpread(ratiosOf(runs, itself, itself)),
    ]);
  }
  return { heading, columns: ['K', 'through the page cache, s', 'past it, s', 'ratio'], rows };
}
