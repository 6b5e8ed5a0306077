import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parsePressure, stalledPercent } from './pressure.ts';

/** As Linux 6.1 and 5.4 print them; the older kernel has no "full" line for cpu. */
const NEW_KERNEL =
  'some avg10=2.47 avg60=2.61 avg300=9.73 total=86238319\nfull avg10=0.06 avg60=0.19 avg300=0.62 total=6100242\n';
const OLD_KERNEL = 'some avg10=100.00 avg60=0.25 avg300=0.88 total=8375580\n';

describe('parsePressure', () => {
  it('pressure - both lines of a kernel are read', () => {
    expect(parsePressure(NEW_KERNEL)).toEqual({
      some: { avg10: 2.47, totalUs: 86238319 },
      full: { avg10: 0.06, totalUs: 6100242 },
    });
  });

  it('pressure - a kernel without "full" is understood', () => {
    expect(parsePressure(OLD_KERNEL)).toEqual({ some: { avg10: 100, totalUs: 8375580 }, full: null });
  });

  it('pressure - anything else is null or a pressure, never an exception', () => {
    for (const text of ['', 'some', 'some avg10= avg60= avg300= total=', 'full avg10=1.00 avg60=1 avg300=1 total=1']) {
      expect(parsePressure(text)).toBeNull();
    }
    fc.assert(fc.property(fc.string(), (text) => parsePressure(text) === null));
  });
});

describe('stalledPercent', () => {
  it('pressure - is the share of the interval', () => {
    expect(stalledPercent(1_000_000, 1_250_000, 1000)).toBe(25);
    expect(stalledPercent(5, 5, 1000)).toBe(0);
  });

  it('pressure - is never above 100, and null when the counter went back', () => {
    expect(stalledPercent(0, 5_000_000, 1000)).toBe(100);
    expect(stalledPercent(10, 9, 1000)).toBeNull();
    const whole = fc.nat();
    fc.assert(
      fc.property(whole, whole, fc.integer({ min: 1, max: 100_000 }), (before, now, intervalMs) => {
        const share = stalledPercent(before, now, intervalMs);
        if (now < before) expect(share).toBeNull();
        else expect(share !== null && share >= 0 && share <= 100).toBe(true);
      }),
    );
  });
});
