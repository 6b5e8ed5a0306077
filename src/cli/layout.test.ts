import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { layout, lineOf, type Row, shorten, type TargetRow, widthOf } from './layout.ts';

const MIB = 1024 * 1024;
const row: TargetRow = {
  name: '/srv/images/web7.img',
  share: 0.41,
  bytesPerSecond: 118 * MIB,
  secondsLeft: 4,
  state: 'copying',
  failed: false,
  done: false,
};
const total: Row = { ...row, name: 'all', state: '20 copying' };

describe('a line of progress', () => {
  test.each<[number, string]>([
    [200, '/srv/images/web7.img  [########............]   41 %  118 MiB/s  4.0s left  copying'],
    [81, '/srv/imag…/web7.img  [########............]   41 %  118 MiB/s  4.0s left  copying'],
    [79, '/srv/ima…web7.img  [########............]   41 %  118 MiB/s  4.0s left  copying'],
    [60, '/srv/images/web7.img  41 %  118 MiB/s  4.0s left  copying'],
    [50, '/srv/i…b7.img  41 %  118 MiB/s  4.0s left  copying'],
    [40, '/srv/i…7.img  41 %  118 MiB/s  4.0s left'],
    [30, '/srv/im…b7.img 41% 118M/s 4.0s'],
    [19, '/…g 41% 118M/s 4.0s'],
    [15, '41% 118M/s 4.0s'],
    [1, '4'],
  ])('in %i columns', (width, wanted) => {
    expect(lineOf(row, width)).toBe(wanted);
  });

  test('is never wider than the terminal, and always has what is known of percent, rate and time left', () => {
    const names = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.string({ unit: 'grapheme' }),
      fc.constant('中文'.repeat(30)),
    );
    const numbers = fc.record({
      share: fc.option(fc.double({ min: 0, max: 1, noNaN: true })),
      bytesPerSecond: fc.option(fc.integer({ min: 1, max: 2 ** 40 })),
      secondsLeft: fc.option(fc.integer({ min: 0, max: 400_000 })),
    });
    fc.assert(
      fc.property(names, numbers, fc.integer({ min: 1, max: 200 }), (name, known, width) => {
        const line = lineOf({ ...row, ...known, name }, width);
        expect(widthOf(line)).toBeLessThanOrEqual(width);
        expect(line).not.toMatch(/[\p{Cc}\p{Zl}\p{Zp}\u202a-\u202e\u2066-\u2069]/u);
        if (width < 19) return;
        if (known.share !== null) expect(line).toContain('%');
        if (known.bytesPerSecond !== null) expect(line).toContain('/s');
        if (known.secondsLeft !== null) expect(line).toMatch(/\d[smh]( |$)|\d[smh]\d/);
      }),
    );
  });
});

describe('a screen of progress', () => {
  test('has a line a target where there is room, else one for all and those that matter', () => {
    const rows = Array.from({ length: 20 }, (_, index) => ({ ...row, name: `t${index}`, share: index / 40 }));
    const size = { columns: 100, rows: 6 };
    expect(layout(rows, total, { columns: 100, rows: 21 })).toHaveLength(20);
    const few = rows.map((one, index) => (index === 19 ? { ...one, failed: true, state: 'failed' } : one));
    const shownNames = layout(few, total, size).map((text) => text.split(' ')[0]);
    expect(shownNames).toEqual(['all', 't0', 't1', 't2', 't19']);
    expect(layout(rows, total, { columns: 100, rows: 1 })).toHaveLength(1);
    expect(layout(rows, total, { columns: 1, rows: 2 })).toEqual(['4']);
  });
});

describe('a name that is too long', () => {
  test.each([
    ['abcdefghij', 5, 'ab…ij'],
    ['abcdefghij', 10, 'abcdefghij'],
    ['abcdefghij', 1, '…'],
    ['abcdefghij', 0, ''],
    ['中文中文中文', 7, '中…中文'],
    ['中文中文中文', 6, '中…文'],
    ['e\u0301e\u0301e\u0301e\u0301', 3, 'e\u0301…e\u0301'],
  ])('%s in %i columns', (text, width, wanted) => {
    expect(shorten(text, width)).toBe(wanted);
  });

  test('widths are those of a terminal', () => {
    expect([widthOf('abc'), widthOf('中文'), widthOf('e\u0301'), widthOf('🙂'), widthOf('❤\ufe0f')]).toEqual([
      3, 4, 1, 2, 2,
    ]);
  });
});
