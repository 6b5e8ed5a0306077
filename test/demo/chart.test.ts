import { describe, expect, it } from 'vitest';
import { chart, medianOf, slices } from '../../scripts/loop/chart.ts';

describe('the chart of latency', () => {
  it('chart - each column is the median of its slice of time; a slice without a measurement stays empty', () => {
    const points = [
      { at: 0, value: 10 },
      { at: 0.1, value: 1000 },
      { at: 0.2, value: 20 },
      { at: 9.9, value: 40 },
    ];
    expect(slices(points, 5, 10)).toEqual([20, null, null, null, 40]);
    expect(medianOf([3, 1, 2])).toBe(2);
    expect(medianOf([])).toBeNaN();
  });

  it('chart - is as high as its highest value, with the objective as a line and marks below', () => {
    const points = [
      { at: 1, value: 100 },
      { at: 5, value: 400 },
      { at: 9, value: 100 },
    ];
    const marks = [{ at: 5, sign: 'A', text: 'the load has grown' }];
    const options = { title: 'latency', unit: 'ms', columns: 9, rows: 4, limit: 200 };
    expect(chart(points, marks, options).split('\n')).toEqual([
      'latency',
      '   400 ms │    █    ',
      '   200 ms │┄┄┄┄█┄┄┄┄',
      '          │    █    ',
      '          │█   █   █',
      '        0 └─────────',
      '               A',
      '           A    5 s  the load has grown',
    ]);
  });
});
