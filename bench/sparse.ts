// Question 5: an image of which little is in use, beside the programs that are made for that.
import { rmSync } from 'node:fs';
import { findTool, formatBytes, limits, runTool } from '../src/base/mod.ts';
import { type Bench, chooseRivals, type Question } from './question.ts';
import type { Report, Table } from './report.ts';
import { type Contender, fileTargets, measure, sameBytes } from './rig/contender.ts';
import { checkExt4, fillFreeBlocks, makeExt4 } from './rig/ext4.ts';
import { ours } from './rig/ours.ts';
import { formatSpread, spreadOf } from './rig/pair.ts';
import { toolPeer } from './rig/peers.ts';

const SIZE_BYTES = 8 * limits.GIB;
/** 0.5 GiB of 8 GiB. */
const USED_PART = 1 / 16;
const ROUNDS = 3;

const qemuImg = toolPeer({
  name: 'qemu-img convert',
  tools: ['qemu-img'],
  needsTargets: false,
  versionOf: ['qemu-img', '--version'],
  commands: (job) =>
    job.targets.map((target) => [
      ...(['qemu-img', 'convert', '-f', 'raw', '-O', 'raw', '-W', '-m', '8'] as const),
      ...['-T', 'none', '-t', 'none', job.source, target],
    ]),
});

const bmaptool = toolPeer({
  name: 'bmaptool copy',
  tools: ['bmaptool'],
  needsTargets: false,
  versionOf: ['bmaptool', '--version'],
  commands: (job) =>
    job.targets.map((target) => ['bmaptool', '-q', 'copy', '--bmap', `${job.source}.bmap`, job.source, target]),
});

export const sparse: Question = { name: 'sparse', run: runSparse };

async function runSparse(bench: Bench): Promise<Report> {
  const { options, workbench } = bench;
  const sizeBytes = options.sizeBytes ?? SIZE_BYTES;
  const usedBytes = sizeBytes * USED_PART;
  const { present: rivals, notes } = await chooseRivals(bench, [qemuImg, bmaptool]);
  const source = `${workbench.folder}/ext4.img`;
  bench.say('sparse: making the image');
  await makeExt4(workbench, source, sizeBytes, usedBytes);
  const tables = [await measureImage(bench, 'Free blocks are holes in the image', source, sizeBytes, rivals)];
  await fillFreeBlocks(source);
  tables.push(await measureImage(bench, 'Free blocks hold old data', source, sizeBytes, rivals));
  return {
    name: 'sparse',
    title: 'Sparse and used-only',
    method:
      `An ext4 image of ${formatBytes(sizeBytes)} with ${formatBytes(usedBytes)} of files, to one new file; cold cache, no memory limit. ` +
      'The block map of bmaptool is made beforehand and not in its time. Ratios are our time divided by the rival’s.',
    target: 'none but the comparison.',
    tables,
    notes:
      options.sizeBytes === null ? notes : [...notes, 'the image is smaller or larger than the 8 GiB of the question'],
  };
}

async function measureImage(
  bench: Bench,
  heading: string,
  source: string,
  sizeBytes: number,
  rivals: readonly Contender[],
): Promise<Table> {
  const { workbench, options } = bench;
  await makeBlockMap(bench, source);
  const targets = fileTargets(workbench.folder, 1, sizeBytes);
  const timed = async (contender: Contender, check: ((target: string) => Promise<void>) | null): Promise<number> => {
    const { warmPrograms } = options;
    const common = { workbench, warmPrograms, contender, source, sourceBytes: sizeBytes, targets, inMemory: false };
    return (await measure({ ...common, ...(check === null ? {} : { check }) })).seconds;
  };
  const same = sameBytes(source);
  const rows: string[][] = [];
  for (const rival of rivals) {
    bench.say(`sparse: ${heading}, ${rival.name}`);
    const rounds: { whole: number; used: number; rival: number }[] = [];
    for (let round = 0; round < (options.rounds ?? ROUNDS); round++) {
      // Free blocks need not be equal after a copy of what is used, so there the file system's own check decides.
      rounds.push({
        whole: await timed(ours('--extent', 'whole'), round === 0 ? same : null),
        used: await timed(ours('--extent', 'used'), round === 0 ? checkExt4 : null),
        rival: await timed(rival, round === 0 ? same : null),
      });
    }
    const spread = (value: (one: (typeof rounds)[number]) => number): string =>
      formatSpread(spreadOf(rounds.map(value)));
    rows.push([
      ...[rival.name, spread((one) => one.rival)],
      ...[spread((one) => one.whole), spread((one) => one.whole / one.rival)],
      ...[spread((one) => one.used), spread((one) => one.used / one.rival)],
    ]);
  }
  const columns = [
    'rival',
    'rival, s',
    'understudy --extent whole, s',
    'ratio',
    'understudy --extent used, s',
    'ratio',
  ];
  return { heading, columns, rows };
}

async function makeBlockMap(bench: Bench, source: string): Promise<void> {
  const program = findTool('bmaptool');
  if (program === null) return;
  const made = await runTool(program, ['-q', 'create', '-o', `${source}.bmap`, source], { timeoutMs: 300_000 });
  if (made.status !== 0) throw new Error(`bmaptool create: ${made.stderr.trim()}`);
  bench.workbench.defer(() => rmSync(`${source}.bmap`, { force: true }));
}
