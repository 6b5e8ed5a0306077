// Question 6, first half: what it costs to read every target back, beside etcher-sdk's verification and dd with cmp.
import { rmSync } from 'node:fs';
import { formatBytes, limits } from '../src/base/mod.ts';
import { type Bench, chooseRivals, type Question } from './question.ts';
import type { Report, Table } from './report.ts';
import { cgroupObstacle, smallMemoryBytes } from './rig/cgroup.ts';
import { type Contender, fileTargets, measure, runAll, sameBytes } from './rig/contender.ts';
import { type Load, moveAll, transferMemory } from './rig/disk.ts';
import { dropCaches, writeRandomImage } from './rig/image.ts';
import { ours } from './rig/ours.ts';
import { alternate, formatSpread, ratiosOf, spreadOf } from './rig/pair.ts';
import { ddBuffered, etcher } from './rig/peers.ts';

const TARGETS = 4;
const SIZE_BYTES = 2 * limits.GIB;
const ROUNDS = 3;

/** What careful people do by hand: copy, flush, forget the cache, compare. */
const ddThenCmp: Contender = {
  ...ddBuffered,
  name: 'dd x K, then cmp x K',
  run: async (job) => {
    await ddBuffered.run(job);
    await dropCaches();
    await runAll(
      job,
      job.targets.map((target) => ['cmp', job.source, target]),
    );
  },
};

export const verify: Question = { name: 'verify', run: runVerify };

async function runVerify(bench: Bench): Promise<Report> {
  const { options, workbench } = bench;
  const sizeBytes = options.sizeBytes ?? SIZE_BYTES;
  const { present: rivals, notes } = await chooseRivals(bench, [etcher('--verify'), ddThenCmp]);
  const source = `${workbench.folder}/source.img`;
  writeRandomImage(source, sizeBytes);
  const tables: Table[] = [];
  const obstacle = cgroupObstacle();
  for (const regime of options.regimes) {
    if (regime !== 'small' || obstacle === null)
      tables.push(await measureRegime(bench, regime, source, sizeBytes, rivals));
    else notes.push(`image larger than memory: not measured, ${obstacle}`);
  }
  tables.push(await workbench.scope(() => measureBound(bench, source, sizeBytes)));
  return {
    name: 'verify',
    title: 'Verification',
    method:
      `${formatBytes(sizeBytes)} of random data to ${TARGETS} files on disk, each read back and compared. The ratio is our time with ` +
      '--verify divided by the other. The bound is what the disk itself needs for the same bytes, eight transfers of 4 MiB in flight, all ' +
      'reads and writes at once, as if nothing had to be written before it is read back.',
    target: 'with K = 4 at most 0.6 times etcher-sdk with verification.',
    tables,
    notes,
  };
}

/** The bytes of a verified copy moved with no order and no program around them. */
async function measureBound(bench: Bench, source: string, sizeBytes: number): Promise<Table> {
  const { workbench } = bench;
  const paths = (stem: string): string[] =>
    Array.from({ length: TARGETS }, (_, index) => `${workbench.folder}/${stem}-${index + 1}.img`);
  const [first, second] = [paths('first'), paths('second')];
  workbench.defer(() => {
    for (const path of [...first, ...second]) rmSync(path, { force: true });
  });
  const memory = transferMemory('huge', 2);
  workbench.defer(() => memory.unmap());
  const rounds: { write: number; read: number; both: number }[] = [];
  for (let round = 0; round < (bench.options.rounds ?? ROUNDS); round++) {
    bench.say('verify: the disk itself');
    for (const path of [...first, ...second]) rmSync(path, { force: true });
    await dropCaches();
    const reads: Load = { kind: 'read', paths: [source, ...first], sizeBytes };
    const write = moveAll([{ kind: 'write', paths: first, sizeBytes }], memory);
    const read = moveAll([reads], memory);
    const both = moveAll([reads, { kind: 'write', paths: second, sizeBytes }], memory);
    rounds.push({ write, read, both });
  }
  const spread = (value: (one: (typeof rounds)[number]) => number): string => formatSpread(spreadOf(rounds.map(value)));
  return {
    heading: 'What the disk itself needs',
    columns: ['transfers', 'seconds'],
    rows: [
      [`${TARGETS} images written`, spread((one) => one.write)],
      [`${TARGETS + 1} images read`, spread((one) => one.read)],
      [`${TARGETS} images written and ${TARGETS + 1} read, all at once`, spread((one) => one.both)],
    ],
  };
}

async function measureRegime(
  bench: Bench,
  regime: string,
  source: string,
  sizeBytes: number,
  rivals: readonly Contender[],
): Promise<Table> {
  const { workbench, options } = bench;
  const memoryBytes = smallMemoryBytes(sizeBytes, 2);
  const group = regime === 'small' ? { memoryBytes } : {};
  const targets = fileTargets(workbench.folder, TARGETS, sizeBytes);
  const timed = async (contender: Contender): Promise<number> => {
    const { warmPrograms } = options;
    const common = {
      workbench,
      warmPrograms,
      contender,
      source,
      sourceBytes: sizeBytes,
      targets,
      inMemory: false,
      group,
      ...(regime === 'small' ? {} : { readyMemoryBytes: (TARGETS + 1) * sizeBytes }),
    };
    return (await measure({ ...common, check: sameBytes(source) })).seconds;
  };
  const rows: string[][] = [];
  for (const other of [...rivals, ours()]) {
    bench.say(`verify: ${regime}, ${other.name}`);
    const runs = await alternate(
      options.rounds ?? ROUNDS,
      () => timed(ours('--verify')),
      () => timed(other),
    );
    const itself = (seconds: number): number => seconds;
    rows.push([
      rivals.includes(other) ? other.name : 'understudy without --verify',
      formatSpread(spreadOf(runs.b)),
      formatSpread(spreadOf(runs.a)),
      formatSpread(ratiosOf(runs, itself, itself)),
    ]);
  }
  return {
    heading:
      regime === 'small' ? `Image larger than memory (${formatBytes(memoryBytes)})` : 'Image fits in the page cache',
    columns: ['beside', 'its time, s', 'understudy --verify, s', 'ratio'],
    rows,
  };
}
