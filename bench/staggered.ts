// Question 2: the same image asked for at different times, from a source of limited speed. Here a carousel needs 1 + W/T
// passes however many ask, and separate readers need one each unless the page cache holds the image.
import { setTimeout as delay } from 'node:timers/promises';
import { formatBytes, limits } from '../src/base/mod.ts';
import type { Bench, Question } from './question.ts';
import type { Report, Table } from './report.ts';
import { type Ideal, idealCarousel, spreadStarts } from './rig/carousel.ts';
import { cgroupObstacle, makeGroup, smallMemoryBytes } from './rig/cgroup.ts';
import { fileTargets, prepareCaches } from './rig/contender.ts';
import { writeRandomImage } from './rig/image.ts';
import { attachLoop, type LoopDevice } from './rig/loop.ts';
import { ours, oursCommand } from './rig/ours.ts';
import { alternate, formatSpread, ratiosOf, type Spread, spreadOf } from './rig/pair.ts';
import { ddBuffered } from './rig/peers.ts';
import { readyMemory } from './rig/ready-memory.ts';
import { type Command, CommandError, type Finished, start } from './rig/run.ts';

const COUNTS = [1, 2, 4, 8, 16];
const WINDOWS = [0.5, 1, 1.75];
export const SIZE_BYTES = 2 * limits.GIB;
export const RATE_BYTES = 200 * limits.MIB;
/** The cap sets the pace, so runs differ less than those of an uncapped disk. */
const ROUNDS = 2;

export interface Setting {
  readonly source: LoopDevice;
  readonly sizeBytes: number;
  readonly rateBytes: number;
  readonly count: number;
  readonly windowPasses: number;
  /** Absent: the image fits in the page cache. */
  readonly memoryBytes?: number;
}

export interface Measured {
  /** Bytes read from the source device divided by the size of the image. */
  readonly passes: number;
  readonly makespanSeconds: number;
  readonly jobSecondsMax: number;
}

export type JobCommand = (source: string, target: string) => Command;

export const oursJob: JobCommand = (source, target) => oursCommand(source, [target]);
const ddJob: JobCommand = (source, target) => [
  ...(['dd', `if=${source}`, `of=${target}`, 'bs=1M', 'conv=notrunc,fsync', 'status=none'] as const),
];

export const staggered: Question = { name: 'staggered', run: runStaggered };

async function runStaggered(bench: Bench): Promise<Report> {
  const { options, workbench } = bench;
  const sizeBytes = options.sizeBytes ?? SIZE_BYTES;
  const rateBytes = options.rateBytes ?? RATE_BYTES;
  const report = {
    name: 'staggered',
    title: 'Asked for at different times',
    method:
      `${formatBytes(sizeBytes)} of random data on a loop device that delivers ${formatBytes(rateBytes)} a second, so that one pass ` +
      `takes T = ${(sizeBytes / rateBytes).toFixed(2)} s; K jobs of one target each, their starts spread evenly over W passes. ` +
      'Source bytes are those that the kernel counted for the loop device. The ideal is a carousel without losses, 1 + W/T passes ' +
      '(less where it would stand still because nobody asks). Without a limit of memory, what the run will use is fetched from ' +
      'the host beforehand.',
    target:
      'image larger than memory: passes and makespan at most 1.05 times the ideal, every job at most 1.1 T; image in the page ' +
      'cache: no slower than buffered dd.',
  };
  const obstacle = cgroupObstacle();
  if (obstacle !== null) return { ...report, tables: [], notes: [`not measured: ${obstacle}`] };
  const file = `${workbench.folder}/source.img`;
  writeRandomImage(file, sizeBytes);
  const source = await attachLoop(workbench, file);
  const tables: Table[] = [];
  for (const regime of options.regimes)
    tables.push(await measureRegime(bench, regime, { source, sizeBytes, rateBytes }));
  return { ...report, tables, notes: [] };
}

async function measureRegime(
  bench: Bench,
  regime: string,
  common: Pick<Setting, 'source' | 'sizeBytes' | 'rateBytes'>,
): Promise<Table> {
  const rows: string[][] = [];
  for (const count of bench.options.counts ?? COUNTS) {
    const memoryBytes = smallMemoryBytes(common.sizeBytes, count + 1);
    const memory = regime === 'small' ? { memoryBytes } : {};
    // One job has no others to be spread among.
    for (const windowPasses of count === 1 ? [0] : (bench.options.windows ?? WINDOWS)) {
      bench.say(`staggered: K = ${count}, W = ${windowPasses}, ${regime} ${formatBytes(memory.memoryBytes ?? 0)}`);
      rows.push(await measureSetting(bench, { ...common, count, windowPasses, ...memory }));
    }
  }
  return {
    heading: regime === 'small' ? 'Image larger than memory' : 'Image fits in the page cache',
    keyColumns: 2,
    columns: [
      ...['K', 'W', 'memory', 'passes: ideal', 'understudy', 'dd buffered'],
      ...['makespan s: ideal', 'understudy', 'dd buffered', 'understudy / ideal', 'understudy / dd'],
      ...['longest job / T: understudy', 'dd buffered'],
    ],
    rows,
  };
}

async function measureSetting(bench: Bench, setting: Setting): Promise<string[]> {
  const passSeconds = setting.sizeBytes / setting.rateBytes;
  const ideal: Ideal = idealCarousel(spreadStarts(setting.count, setting.windowPasses));
  const rounds = bench.options.rounds ?? ROUNDS;
  const words = bench.options.peers;
  const withDd = words === null || words.some((word) => ddBuffered.name.includes(word));
  const ourRun = (): Promise<Measured> => runOnce(bench, setting, oursJob);
  const runs = withDd
    ? await alternate(rounds, ourRun, () => runOnce(bench, setting, ddJob))
    : { a: (await alternate(rounds, ourRun, async () => null)).a, b: [] };
  const all = (list: readonly Measured[], value: (one: Measured) => number): string =>
    list.length === 0 ? '-' : formatSpread(spreadOf(list.map(value)));
  const makespan = (one: Measured): number => one.makespanSeconds;
  const idealSeconds = ideal.makespanPasses * passSeconds;
  const overIdeal: Spread = spreadOf(runs.a.map((one) => one.makespanSeconds / idealSeconds));
  return [
    String(setting.count),
    setting.count === 1 ? '-' : String(setting.windowPasses),
    setting.memoryBytes === undefined ? 'all' : formatBytes(setting.memoryBytes),
    ideal.passes.toFixed(2),
    all(runs.a, (one) => one.passes),
    all(runs.b, (one) => one.passes),
    idealSeconds.toFixed(1),
    all(runs.a, makespan),
    all(runs.b, makespan),
    formatSpread(overIdeal),
    withDd ? formatSpread(ratiosOf(runs, makespan, makespan)) : '-',
    all(runs.a, (one) => one.jobSecondsMax / passSeconds),
    all(runs.b, (one) => one.jobSecondsMax / passSeconds),
  ];
}

export function runOnce(bench: Bench, setting: Setting, job: JobCommand): Promise<Measured> {
  const { workbench } = bench;
  const { source, sizeBytes, rateBytes, count, memoryBytes } = setting;
  return workbench.scope(async () => {
    const group = makeGroup(workbench, {
      ...(memoryBytes === undefined ? {} : { memoryBytes }),
      caps: [{ majorMinor: source.majorMinor, readBytesPerSecond: rateBytes }],
    });
    const targets = fileTargets(workbench.folder, count, sizeBytes);
    workbench.defer(() => targets.discard());
    targets.prepare(job === ddJob);
    await prepareCaches(workbench, job === ddJob ? ddBuffered : ours(), bench.options.warmPrograms);
    if (memoryBytes === undefined) readyMemory((count + 1) * sizeBytes);
    const bytesBefore = source.bytesRead();
    const beginMs = performance.now();
    const passMs = (sizeBytes / rateBytes) * 1000;
    const starts = spreadStarts(count, setting.windowPasses);
    const jobs = await Promise.all(
      targets.paths.map(async (target, index): Promise<Finished> => {
        await delay(beginMs + (starts[index] ?? 0) * passMs - performance.now());
        return start(workbench, group, job(source.path, target)).finished;
      }),
    );
    const failed = jobs.find((one) => one.status !== 0);
    if (failed) throw new CommandError(failed);
    await group.emptied();
    return {
      passes: (source.bytesRead() - bytesBefore) / sizeBytes,
      makespanSeconds: (Math.max(...jobs.map((one) => one.endMs)) - beginMs) / 1000,
      jobSecondsMax: Math.max(...jobs.map((one) => one.seconds)),
    };
  });
}
