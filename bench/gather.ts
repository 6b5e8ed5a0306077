// Question: what does it bring that the first of several copies waits for the others? Without waiting, those that come later make
// the source be read again from its start to where they joined, unless the page cache holds it.
import { formatBytes } from '../src/base/mod.ts';
import type { Bench, Question } from './question.ts';
import type { Report } from './report.ts';
import { cgroupObstacle, smallMemoryBytes } from './rig/cgroup.ts';
import { writeRandomImage } from './rig/image.ts';
import { attachLoop } from './rig/loop.ts';
import { oursCommand } from './rig/ours.ts';
import { alternate, formatSpread, ratiosOf, spreadOf } from './rig/pair.ts';
import { type JobCommand, type Measured, oursJob, RATE_BYTES, runOnce, type Setting, SIZE_BYTES } from './staggered.ts';

const COUNTS = [4, 8];
/** Starts are spread over so many passes. */
const WINDOWS = [0.1, 0.5, 1];
const ROUNDS = 2;
/** The first waits so much longer than the last one takes to come. */
const MARGIN_MS = 1000;

export const gather: Question = { name: 'gather', run: runGather };

async function runGather(bench: Bench): Promise<Report> {
  const { options, workbench } = bench;
  const sizeBytes = options.sizeBytes ?? SIZE_BYTES;
  const rateBytes = options.rateBytes ?? RATE_BYTES;
  const report = {
    name: 'gather',
    title: 'Waiting for others before reading',
    method:
      `${formatBytes(sizeBytes)} of random data on a loop device that delivers ${formatBytes(rateBytes)} a second (one pass takes ` +
      `T = ${(sizeBytes / rateBytes).toFixed(2)} s), larger than memory; K copies of one target each, their starts spread evenly over W ` +
      `passes; without \`--gather\`, and each with \`--gather\` for W and ${MARGIN_MS / 1000} s more. Source bytes are those that the ` +
      'kernel counted for the loop device.',
    target: 'with --gather one pass; the makespan is then W and one pass.',
  };
  const obstacle = cgroupObstacle();
  if (obstacle !== null) return { ...report, tables: [], notes: [`not measured: ${obstacle}`] };
  const file = `${workbench.folder}/source.img`;
  writeRandomImage(file, sizeBytes);
  const source = await attachLoop(workbench, file);
  const rows: string[][] = [];
  for (const count of options.counts ?? COUNTS) {
    const memoryBytes = smallMemoryBytes(sizeBytes, count + 1);
    for (const windowPasses of options.windows ?? WINDOWS) {
      bench.say(`gather: K = ${count}, W = ${windowPasses}`);
      rows.push(await measure(bench, { source, sizeBytes, rateBytes, count, windowPasses, memoryBytes }));
    }
  }
  const columns = ['K', 'W', 'passes: at once', '--gather', 'makespan s: at once', '--gather', '--gather / at once'];
  return { ...report, tables: [{ heading: 'Image larger than memory', keyColumns: 2, columns, rows }], notes: [] };
}

async function measure(bench: Bench, setting: Setting): Promise<string[]> {
  const passMs = (setting.sizeBytes / setting.rateBytes) * 1000;
  const waitMs = Math.ceil(setting.windowPasses * passMs) + MARGIN_MS;
  const gathering: JobCommand = (source, target) => oursCommand(source, [target], '--gather', `${waitMs}ms`);
  const runs = await alternate(
    bench.options.rounds ?? ROUNDS,
    () => runOnce(bench, setting, gathering),
    () => runOnce(bench, setting, oursJob),
  );
  const all = (list: readonly Measured[], value: (one: Measured) => number): string =>
    formatSpread(spreadOf(list.map(value)));
  const makespan = (one: Measured): number => one.makespanSeconds;
  return [
    String(setting.count),
    String(setting.windowPasses),
    all(runs.b, (one) => one.passes),
    all(runs.a, (one) => one.passes),
    all(runs.b, makespan),
    all(runs.a, makespan),
    formatSpread(ratiosOf(runs, makespan, makespan)),
  ];
}
