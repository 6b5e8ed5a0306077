// Question 1: one image to 4 and to 8 targets, all asked for at the same time, beside every rival.
import { formatBytes, limits } from '../src/base/mod.ts';
import { type Bench, chooseRivals, type Question } from './question.ts';
import type { Report, Table } from './report.ts';
import { cgroupObstacle, type GroupOptions, smallMemoryBytes } from './rig/cgroup.ts';
import {
  type Contender,
  fileTargets,
  loopTargets,
  type Measured,
  measure,
  sameBytes,
  type Targets,
} from './rig/contender.ts';
import { writeRandomImage } from './rig/image.ts';
import { loopObstacle } from './rig/loop.ts';
import { ours } from './rig/ours.ts';
import { alternate, formatSpread, ratiosOf, spreadOf } from './rig/pair.ts';
import { allAtOncePeers } from './rig/peers.ts';

const COUNTS = [4, 8];
const SIZE_BYTES = 2 * limits.GIB;
const ROUNDS = 3;
/** The copy and the process that reads the source. */
const PROCESSES = 2;

const TMPFS_NOTE =
  'on tmpfs: nobody waits for a disk, and all spend their processors in the kernel, making the same pages of the targets. What ' +
  'remains between us and dd is the start of two Node.js programs and a thread for each target, and one digest of every block.';

interface Setting {
  readonly place: string;
  readonly regime: string;
  readonly count: number;
}

export const allAtOnce: Question = { name: 'all-at-once', run: runAllAtOnce };

async function runAllAtOnce(bench: Bench): Promise<Report> {
  const { present, notes } = await chooseRivals(bench, allAtOncePeers);
  const sizeBytes = bench.options.sizeBytes ?? SIZE_BYTES;
  const tables: Table[] = [];
  for (const setting of settingsOf(bench, notes)) {
    tables.push(await bench.workbench.scope(() => measureSetting(bench, setting, present, sizeBytes)));
  }
  return {
    name: 'all-at-once',
    title: 'All at once',
    method:
      `${formatBytes(sizeBytes)} of random data to K targets asked for at the same time, ` +
      `${bench.options.block ? 'loop devices' : 'regular files'}. Without a limit of memory, what the run will use is fetched from the ` +
      "host beforehand. The ratio is our time divided by the rival's.",
    target: 'at most 1.05 times the best rival on disk, at most 1.10 times on tmpfs.',
    tables,
    notes: [...notes, TMPFS_NOTE],
  };
}

function settingsOf(bench: Bench, notes: string[]): Setting[] {
  const { places, regimes, counts } = bench.options;
  const settings: Setting[] = [];
  for (const place of places) {
    for (const regime of regimes) {
      // Pages of tmpfs are memory that nobody can reclaim: with little memory such targets cannot exist.
      if (place === 'tmpfs' && regime === 'small') continue;
      for (const count of counts ?? COUNTS) settings.push({ place, regime, count });
    }
  }
  const obstacle = cgroupObstacle();
  if (obstacle === null) return settings;
  notes.push(`image larger than memory: not measured, ${obstacle}`);
  return settings.filter((setting) => setting.regime !== 'small');
}

async function measureSetting(
  bench: Bench,
  setting: Setting,
  rivals: readonly Contender[],
  sizeBytes: number,
): Promise<Table> {
  const { workbench, options } = bench;
  const inMemory = setting.place === 'tmpfs';
  const folder = inMemory ? workbench.memoryFolder : workbench.folder;
  const source = `${folder}/source.img`;
  writeRandomImage(source, sizeBytes);
  const targets = await targetsOf(bench, setting, folder, sizeBytes);
  const memoryBytes = smallMemoryBytes(sizeBytes, PROCESSES);
  const group: GroupOptions = setting.regime === 'small' ? { memoryBytes } : {};
  const heading = headingOf(setting, memoryBytes);
  const mine = options.bufferBytes === null ? ours() : ours('--buffer', `${options.bufferBytes}`);
  const rows: string[][] = [];
  const timed = (contender: Contender, check: boolean): Promise<Measured> =>
    measure({
      ...{ workbench, contender, source, sourceBytes: sizeBytes, targets, inMemory, group },
      warmPrograms: options.warmPrograms,
      ...(setting.regime === 'small' ? {} : { readyMemoryBytes: (setting.count + 1) * sizeBytes }),
      ...(check ? { check: sameBytes(source) } : {}),
    });
  for (const rival of rivals) {
    let round = 0;
    bench.say(`${heading}: ${rival.name}`);
    const runs = await alternate(
      options.rounds ?? ROUNDS,
      () => timed(mine, round === 0),
      () => timed(rival, round++ === 0),
    );
    const [own, theirs] = [runs.a, runs.b].map((list) => spreadOf(list.map((one) => one.seconds)));
    const ratio = ratiosOf(
      runs,
      (one) => one.seconds,
      (one) => one.seconds,
    );
    if (own && theirs) rows.push([rival.name, formatSpread(theirs), formatSpread(own), formatSpread(ratio)]);
  }
  return { heading, columns: ['rival', 'rival, seconds', 'understudy, seconds', 'ratio'], rows };
}

async function targetsOf(bench: Bench, setting: Setting, folder: string, sizeBytes: number): Promise<Targets> {
  if (!bench.options.block || setting.place === 'tmpfs') return fileTargets(folder, setting.count, sizeBytes);
  const obstacle = loopObstacle();
  if (obstacle !== null) throw new Error(`--block ${obstacle}`);
  return loopTargets(bench.workbench, setting.count, sizeBytes);
}

function headingOf(setting: Setting, memoryBytes: number): string {
  const place = setting.place === 'tmpfs' ? 'on tmpfs' : 'on disk';
  if (setting.place === 'tmpfs') return `K = ${setting.count}, ${place}`;
  const regime =
    setting.regime === 'small'
      ? `image larger than memory (${formatBytes(memoryBytes)})`
      : 'image fits in the page cache';
  return `K = ${setting.count}, ${place}, ${regime}`;
}
