// The arithmetic behind the figures, on cases that can be done in the head.
import { expect, test } from 'vitest';
import { parseOptions } from '../../bench/options.ts';
import { mergeIntoDocument } from '../../bench/report.ts';
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

test('document - a section measured again replaces the old one and leaves the others', () => {
  const first = mergeIntoDocument(
    '',
    new Map([
      ['cost', 'old cost'],
      ['verify', 'old verify'],
    ]),
  );
  const second = mergeIntoDocument(first, new Map([['cost', 'new cost']]));
  expect(second).toContain('new cost');
  expect(second).not.toContain('old cost');
  expect(second).toContain('old verify');
  expect(second.indexOf('new cost')).toBeLessThan(second.indexOf('old verify'));
});

test('options - lists and sizes are read, and nonsense is a usage error', () => {
  const options = parseOptions(['staggered', '--count', '2,4', '--size', '512M', '--rounds', '3']);
  expect(options).toMatchObject({ names: ['staggered'], counts: [2, 4], sizeBytes: 512 * 2 ** 20, rounds: 3 });
  expect(() => parseOptions(['--count', 'many'])).toThrow(expect.objectContaining({ code: 'USAGE' }));
  expect(() => parseOptions(['--fast'])).toThrow(expect.objectContaining({ code: 'USAGE' }));
});
