import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { codeOf } from './errors.ts';
import { formatBytes, formatDuration, parseBytes, parseDuration } from './quantity.ts';

function codeOfParsing(text: string): string | null {
  try {
    parseBytes(text);
    return null;
  } catch (error) {
    return codeOf(error);
  }
}

const POWERS = { '': 0, K: 1, M: 2, G: 3, T: 4 } as const;

describe('parseBytes', () => {
  test.each([
    ['1', 1],
    ['512B', 512],
    ['4M', 4 * 1024 ** 2],
    ['4 MiB', 4 * 1024 ** 2],
    ['4mib', 4 * 1024 ** 2],
    ['4MB', 4_000_000],
    ['1.5K', 1536],
    ['4.1KB', 4100],
    [' 2T ', 2 * 1024 ** 4],
  ])('%s is %d bytes', (text, bytes) => {
    expect(parseBytes(text)).toBe(bytes);
  });

  test.each(['', '0', '-1', '1.5', '0.3K', '4X', '4iB', '1e3', '1,5K', 'M', '.5K', '9999999999P', '4.1000000001KB'])(
    '"%s" is refused',
    (text) => {
      expect(codeOfParsing(text)).toBe('USAGE');
    },
  );

  test('decimals are exact, whatever the unit', () => {
    const units = fc.constantFrom('K', 'M', 'G');
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 999_999 }), units, (thousandths, unit) => {
        const text = (thousandths / 1000).toFixed(3);
        expect(parseBytes(`${text}${unit}B`)).toBe(thousandths * 1000 ** (POWERS[unit] - 1));
      }),
    );
  });

  test('any text is a number of bytes or a USAGE error', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        const code = codeOfParsing(text);
        if (code === null) expect(Number.isSafeInteger(parseBytes(text))).toBe(true);
        else expect(code).toBe('USAGE');
      }),
    );
  });
});

describe('formatBytes', () => {
  test.each([
    [0, '0 B'],
    [1023, '1023 B'],
    [1024, '1.00 KiB'],
    [1536, '1.50 KiB'],
    [10_239, '10.0 KiB'],
    [1024 ** 2 - 1, '1.00 MiB'],
    [100 * 1024 ** 3, '100 GiB'],
  ])('%d is %s', (bytes, text) => {
    expect(formatBytes(bytes)).toBe(text);
  });

  test('what is written is read back within half of its last digit', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1024, max: 2 ** 52 }), (bytes) => {
        const [number = '', unit = ''] = formatBytes(bytes).split(' ');
        expect(number.replace('.', '')).toMatch(/^[1-9][0-9]{2,3}$/);
        const value = Number(number) * 1024 ** Object.keys({ ...POWERS, P: 5 }).indexOf(unit.charAt(0));
        expect(Math.abs(value - bytes) / bytes).toBeLessThan(0.0051);
      }),
    );
  });
});

test.each([
  [0, '0.0s'],
  [4.23, '4.2s'],
  [59.96, '1m00s'],
  [185, '3m05s'],
  [3599.6, '1h00m'],
  [7800, '2h10m'],
])('formatDuration - %d seconds are %s', (seconds, text) => {
  expect(formatDuration(seconds)).toBe(text);
});

describe('parseDuration', () => {
  test.each([
    ['500ms', 500],
    ['0s', 0],
    ['10s', 10_000],
    ['1.1s', 1100],
    ['1.5m', 90_000],
    ['4h', 14_400_000],
  ])('%s is %d milliseconds', (text, ms) => {
    expect(parseDuration(text)).toBe(ms);
  });

  test.each(['', '10', 's', '-1s', '1.5ms', '1d', '1 s', '1e3s', '10S', '1.s'])('"%s" is refused', (text) => {
    expect(() => parseDuration(text)).toThrow(/duration|milliseconds/);
  });
});
