import { expect, it } from 'vitest';
import { BackOff } from './back-off.ts';

it('back-off - doubles up to a quarter of a minute, and begins anew after a success', () => {
  const backOff = new BackOff(() => 1 - Number.EPSILON);
  expect([1, 2, 3, 4, 5, 6].map(() => backOff.failed())).toEqual([1000, 2000, 4000, 8000, 15_000, 15_000]);
  for (let count = 0; count < 2000; count += 1) expect(backOff.failed()).toBe(15_000);
  backOff.succeeded();
  expect(backOff.failed()).toBe(1000);
});

it('back-off - jitter takes up to half of it away', () => {
  const backOff = new BackOff(() => 0);
  expect(backOff.failed()).toBe(500);
  expect(backOff.failed()).toBe(1000);
});

it('back-off - after a refusal it is about a minute', () => {
  expect(new BackOff(() => 0).refused()).toBe(30_000);
  expect(new BackOff(() => 0.5).refused()).toBe(45_000);
});
