// The arithmetic behind the figures, on cases that can be done in the head.
import { expect, test } from 'vitest';
import { parseOptions } from '../../bench/options.ts';
import { formatDocument, mergeReport, type Report, type Section } from '../../bench/report.ts';
import { idealCarousel, spreadStarts } from '../../bench/rig/carousel.ts';
import { alternate, formatSpread, ratiosOf, spreadOf } from '../../bench/rig/pair.ts';

test('carousel - one job needs one pass', () => {
  expect(idealCarousel(spreadStarts(1, 1.75))).toEqual({ passes: 1, makespanPasses: 1 });
});

test('carousel - jobs spread over W passes need 1 + W, however many they are', () => {
  for (const count of [3, 8, 16]) expect(idealCarousel(spreadStarts(count, 1.75)).passes).toBeCloseTo(2.75);
  expect(idealCarousel(spreadStarts(8, 1.75)).makespanPasses).toBeCloseTo(2.75);
});

test('carousel - it stands still between jobs that do not overlap', () => {
  expect(idealCarousel(spreadStarts(2, 1.75))).toEqual({ passes: 2, makespanPasses: 2.75 });
});

test('pairs - runs alternate and each ratio is of neighbours', async () => {
  const order: string[] = [];
  const values = { a: [10, 30, 20], b: [10, 10, 10] };
  const next = (name: 'a' | 'b') => async (): Promise<number> => {
    order.push(name);
    return values[name].shift() ?? 0;
  };
  const runs = await alternate(3, next('a'), next('b'));
  expect(order.join('')).toBe('ababab');
  const itself = (value: number): number => value;
  expect(ratiosOf(runs, itself, itself)).toEqual({ median: 2, min: 1, max: 3, count: 3 });
});

test('pairs - an even number has the mean of the middle two as its median', () => {
  expect(formatSpread(spreadOf([4, 1, 2, 3]))).toBe('2.50 (1.00-4.00)');
  expect(formatSpread(spreadOf([1]))).toBe('1.00 (one)');
});

const report: Report = {
  name: 'cost',
  title: 'Cost',
  method: 'by hand',
  target: 'none',
  tables: [
    {
      heading: 'Times',
      columns: ['K', 'seconds'],
      rows: [
        ['2', 'two'],
        ['16', 'sixteen'],
      ],
    },
  ],
  notes: ['dd: 9.1', 'mbuffer: absent'],
};
const run = (command: string) => ({ command, machine: 'one' });

test('document - a row measured again replaces the old one, with its run, and leaves the others', () => {
  const first = mergeReport(mergeReport([], report, run('first')), { ...report, name: 'verify' }, run('first'));
  const table = {
    heading: 'Times',
    columns: ['K', 'seconds'],
    rows: [
      ['16', 'new'],
      ['4', 'four'],
    ],
  };
  const second = mergeReport(first, { ...report, tables: [table], notes: ['dd: 9.2'] }, run('second'));
  const cells = (section: Section | undefined) =>
    section?.tables[0]?.rows.map((row) => [...row.cells, row.run.command]);
  expect(second.map((section) => section.name)).toEqual(['cost', 'verify']);
  expect(cells(second[0])).toEqual([
    ['2', 'two', 'first'],
    ['4', 'four', 'second'],
    ['16', 'new', 'second'],
  ]);
  expect(second[0]?.notes).toEqual(['dd: 9.2', 'mbuffer: absent']);
  const text = formatDocument(second);
  expect(text).toContain('| 2 | two | 1 |\n| 4 | four | 2 |\n| 16 | new | 2 |');
  expect(text).toContain('1. `first` on: one\n2. `second` on: one');
});

test('document - rows that were measured in another way are not kept', () => {
  const first = mergeReport([], report, run('first'));
  const tables = [{ heading: 'Times', columns: ['K', 'seconds'], rows: [['4', 'four']] }];
  const second = mergeReport(first, { ...report, method: 'by machine', tables }, run('second'));
  expect(second[0]?.tables[0]?.rows.map((row) => row.cells)).toEqual([['4', 'four']]);
});

test('options - lists and sizes are read, and nonsense is a usage error', () => {
  const options = parseOptions(['staggered', '--count', '2,4', '--size', '512M', '--rounds', '3']);
  expect(options).toMatchObject({ names: ['staggered'], counts: [2, 4], sizeBytes: 512 * 2 ** 20, rounds: 3 });
  expect(() => parseOptions(['--count', 'many'])).toThrow(expect.objectContaining({ code: 'USAGE' }));
  expect(() => parseOptions(['--fast'])).toThrow(expect.objectContaining({ code: 'USAGE' }));
});
