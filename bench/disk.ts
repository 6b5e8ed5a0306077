// What the disk itself can do, and what huge pages do for it: the bound of everything else that is measured here.
import { rmSync } from 'node:fs';
import { formatBytes, limits } from '../src/base/mod.ts';
import type { Bench, Question } from './question.ts';
import type { Report } from './report.ts';
import { moveAll, TRANSFER_BYTES, transferMemory } from './rig/disk.ts';
import { dropCaches } from './rig/image.ts';
import { formatSpread, spreadOf } from './rig/pair.ts';

const FILES = 4;
const SIZE_BYTES = limits.GIB;
const ROUNDS = 3;

export const disk: Question = { name: 'disk', run: runDisk };

async function runDisk(bench: Bench): Promise<Report> {
  const sizeBytes = bench.options.sizeBytes ?? SIZE_BYTES;
  const rows: string[][] = [];
  for (const pages of ['huge', 'small'] as const) {
    const rounds: Speeds[] = [];
    for (let round = 0; round < (bench.options.rounds ?? ROUNDS); round++) {
      bench.say(`disk: ${pages} pages`);
      rounds.push(await bench.workbench.scope(() => measureSpeeds(bench, pages, sizeBytes)));
    }
    const spread = (value: (one: Speeds) => number): string => formatSpread(spreadOf(rounds.map(value)));
    rows.push([pages, spread((one) => one.write), spread((one) => one.read), spread((one) => one.both)]);
  }
  return {
    name: 'disk',
    title: 'The disk itself',
    method:
      `Transfers of ${formatBytes(TRANSFER_BYTES)} past the page cache, eight in flight, ${FILES} files of ${formatBytes(sizeBytes)}: ` +
      'written new and flushed, read, and other files written new while these are read.',
    target: 'none: it is the bound of the others.',
    tables: [
      {
        heading: 'GiB a second',
        columns: ['memory pages', 'writing', 'reading', 'both at once, together'],
        rows,
      },
    ],
    notes: [],
  };
}

interface Speeds {
  readonly write: number;
  readonly read: number;
  readonly both: number;
}

async function measureSpeeds(bench: Bench, pages: 'huge' | 'small', sizeBytes: number): Promise<Speeds> {
  const { workbench } = bench;
  const paths = (stem: string): string[] =>
    Array.from({ length: FILES }, (_, index) => `${workbench.folder}/${stem}-${index + 1}.img`);
  const [first, second] = [paths('first'), paths('second')];
  workbench.defer(() => {
    for (const path of [...first, ...second]) rmSync(path, { force: true });
  });
  await dropCaches();
  const memory = transferMemory(pages, 2);
  workbench.defer(() => memory.unmap());
  const gib = (FILES * sizeBytes) / limits.GIB;
  const write = gib / moveAll([{ kind: 'write', paths: first, sizeBytes }], memory);
  const read = gib / moveAll([{ kind: 'read', paths: first, sizeBytes }], memory);
  const seconds = moveAll(
    [
      { kind: 'read', paths: first, sizeBytes },
      { kind: 'write', paths: second, sizeBytes },
    ],
    memory,
  );
  return { write, read, both: (2 * gib) / seconds };
}
