// Question 4: what a copy costs besides time: processor, memory, and the wait for the first block.
import { setTimeout as delay } from 'node:timers/promises';
import { formatBytes, limits } from '../src/base/mod.ts';
import type { Bench, Question } from './question.ts';
import type { Report, Table } from './report.ts';
import { cgroupObstacle, makeGroup, smallMemoryBytes } from './rig/cgroup.ts';
import { fileTargets, type Measured, measure } from './rig/contender.ts';
import { dropCaches, writeRandomImage, writeSparseImage } from './rig/image.ts';
import { attachLoop, makeBackingFile } from './rig/loop.ts';
import { watchMemory } from './rig/memory.ts';
import { ours, oursCommand } from './rig/ours.ts';
import { alternate, formatSpread, ratiosOf, spreadOf } from './rig/pair.ts';
import { ddBuffered } from './rig/peers.ts';
import { CommandError, run, start } from './rig/run.ts';

const TARGETS = 4;
const SIZE_BYTES = 2 * limits.GIB;
const ROUNDS = 5;
const STARTS = 5;

export const cost: Question = { name: 'cost', run: runCost };

async function runCost(bench: Bench): Promise<Report> {
  const { options, workbench } = bench;
  const sizeBytes = options.sizeBytes ?? SIZE_BYTES;
  const report = {
    name: 'cost',
    title: 'Cost',
    method:
      `Processor time is user and system time of all processes of the run (control group), our detached reader included, for ` +
      `${formatBytes(sizeBytes)} of random data to ${TARGETS} files, beside ${TARGETS} buffered dd; kernel threads that write back are ` +
      'in neither. Memory is the largest resident size without shared memory of each process. The first block is written ' +
      'when the kernel counts the first bytes written to a loop device, from before the start of the program.',
    target:
      'processor time at most 1.25 times that of four dd; at most 120 MiB of memory a process besides the ring, whatever the size of ' +
      'the image; from start to first block written at most 0.4 s.',
  };
  const obstacle = cgroupObstacle();
  if (obstacle !== null) return { ...report, tables: [], notes: [`not measured: ${obstacle}`] };
  const tables = [
    await workbench.scope(() => processorTable(bench, sizeBytes)),
    await workbench.scope(() => memoryTable(bench, sizeBytes / 2)),
    await workbench.scope(() => firstBlockTable(bench, Math.min(sizeBytes, 256 * limits.MIB))),
  ];
  return { ...report, tables, notes: [] };
}

async function processorTable(bench: Bench, sizeBytes: number): Promise<Table> {
  const { workbench, options } = bench;
  const source = `${workbench.folder}/source.img`;
  writeRandomImage(source, sizeBytes);
  const targets = fileTargets(workbench.folder, TARGETS, sizeBytes);
  const rows: string[][] = [];
  for (const regime of options.regimes) {
    bench.say(`cost: processor, ${regime}`);
    const memoryBytes = smallMemoryBytes(sizeBytes, 2);
    const { warmPrograms } = options;
    const common = { workbench, warmPrograms, source, sourceBytes: sizeBytes, targets, inMemory: false };
    const group = regime === 'small' ? { memoryBytes } : {};
    const ready = regime === 'small' ? {} : { readyMemoryBytes: (TARGETS + 1) * sizeBytes };
    const runs = await alternate(
      options.rounds ?? ROUNDS,
      () => measure({ ...common, ...ready, contender: ours(), group }),
      () => measure({ ...common, ...ready, contender: ddBuffered, group }),
    );
    const perGib = (one: Measured): number => one.cpuSeconds / (sizeBytes / limits.GIB);
    rows.push([
      regime === 'small' ? `image larger than memory (${formatBytes(memoryBytes)})` : 'image fits in the page cache',
      formatSpread(spreadOf(runs.a.map(perGib))),
      formatSpread(spreadOf(runs.b.map(perGib))),
      formatSpread(ratiosOf(runs, perGib, perGib)),
    ]);
  }
  return {
    heading: `Processor seconds for each GiB of image, to ${TARGETS} targets`,
    columns: ['regime', 'understudy', 'four dd', 'ratio'],
    rows,
  };
}

/** Two images with the same amount of data, one four times as large. */
async function memoryTable(bench: Bench, smallBytes: number): Promise<Table> {
  const { workbench } = bench;
  const rows: string[][] = [];
  for (const [sizeBytes, every] of [
    [smallBytes, 2],
    [smallBytes * 4, 8],
  ] as const) {
    bench.say(`cost: memory, ${formatBytes(sizeBytes)}`);
    const peaks = await workbench.scope(async () => {
      const source = `${workbench.folder}/sparse.img`;
      writeSparseImage(source, sizeBytes, every);
      const targets = fileTargets(workbench.folder, TARGETS, sizeBytes);
      workbench.defer(() => targets.discard());
      const group = makeGroup(workbench);
      const watch = watchMemory(group);
      try {
        await run(workbench, group, oursCommand(source, targets.paths));
        await group.emptied();
      } finally {
        watch.stop();
      }
      return watch.stop();
    });
    for (const peak of peaks) {
      rows.push([formatBytes(sizeBytes), peak.role, formatBytes(peak.residentBytes), formatBytes(peak.anonymousBytes)]);
    }
  }
  return {
    heading: `Memory of each process besides the ring, ${TARGETS} targets, sparse image`,
    keyColumns: 2,
    columns: ['image', 'process', 'resident', 'of that anonymous'],
    rows,
  };
}

async function firstBlockTable(bench: Bench, sizeBytes: number): Promise<Table> {
  const { workbench } = bench;
  const source = `${workbench.folder}/source.img`;
  writeRandomImage(source, sizeBytes);
  const device = `${workbench.folder}/device.img`;
  await makeBackingFile(workbench, device, sizeBytes);
  const target = await attachLoop(workbench, device);
  const seconds = { cold: [] as number[], warm: [] as number[] };
  for (let turn = 0; turn < STARTS; turn++) {
    for (const cache of ['cold', 'warm'] as const) {
      bench.say(`cost: first block, ${cache}`);
      if (cache === 'cold') await dropCaches();
      seconds[cache].push(await workbench.scope(() => secondsToFirstBlock(bench, source, target)));
    }
  }
  return {
    heading: 'Seconds from start to first block written',
    columns: ['page cache', 'understudy'],
    rows: [
      ['cold: Node.js itself is read from disk', formatSpread(spreadOf(seconds.cold))],
      ['warm', formatSpread(spreadOf(seconds.warm))],
    ],
  };
}

async function secondsToFirstBlock(
  bench: Bench,
  source: string,
  target: Awaited<ReturnType<typeof attachLoop>>,
): Promise<number> {
  const group = makeGroup(bench.workbench);
  const before = target.bytesWritten();
  const startMs = performance.now();
  const running = start(bench.workbench, group, oursCommand(source, [target.path]));
  let ended = false;
  const finished = running.finished.finally(() => {
    ended = true;
  });
  while (!ended && target.bytesWritten() === before) await delay(1);
  const seconds = (performance.now() - startMs) / 1000;
  const result = await finished;
  if (result.status !== 0) throw new CommandError(result);
  await group.emptied();
  return seconds;
}
