import { describe, expect, it } from 'vitest';
import { ExtentList, SilenceClock } from './nbd-request.ts';

describe('NBD extents', () => {
  it('merge neighbours of a kind and end where the range ends', () => {
    const list = new ExtentList(1000, 500);
    for (const [lengthBytes, zero] of [
      [100, true],
      [0, false],
      [50, true],
      [200, false],
      [9999, true],
    ] as const) {
      list.add({ lengthBytes, zero });
    }
    expect(list.extents).toEqual([
      { offsetBytes: 1000, lengthBytes: 150, zero: true },
      { offsetBytes: 1150, lengthBytes: 200, zero: false },
      { offsetBytes: 1350, lengthBytes: 150, zero: true },
    ]);
    expect(list.bytesLeft).toBe(0);
  });
});

describe('NBD silence', () => {
  it('is too long after the limit, and over with the next byte', () => {
    const clock = new SilenceClock(1000);
    clock.start(0);
    expect(clock.look(250, false)).toBe(false);
    expect(clock.look(500, false)).toBe(false);
    expect(clock.look(600, true)).toBe(false);
    for (const nowMs of [850, 1100, 1350]) expect(clock.look(nowMs, false)).toBe(false);
    expect(clock.look(1600, false)).toBe(true);
  });

  it('does not count time in which nobody looked', () => {
    const clock = new SilenceClock(1000);
    clock.start(0);
    expect(clock.look(60_000, false)).toBe(false);
    expect(clock.look(120_000, false)).toBe(false);
  });
});
