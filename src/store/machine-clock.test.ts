import { spawnSync } from 'node:child_process';
import { expect, it } from 'vitest';
import { machineClock } from './machine-clock.ts';

it('machine clock - is one for all processes', () => {
  const clock = machineClock();
  const script = 'process.stdout.write(String(Number(process.hrtime.bigint()) / 1e6))';
  let before = clock.nowMs();
  for (let index = 0; index < 3; index += 1) {
    const other = Number(spawnSync(process.execPath, ['-e', script], { encoding: 'utf8', timeout: 60_000 }).stdout);
    const after = clock.nowMs();
    expect(other).toBeGreaterThan(before);
    expect(other).toBeLessThan(after);
    before = after;
  }
});

it('machine clock - has an era, the same until the machine is started again', () => {
  expect(machineClock().era).toMatch(/^[0-9a-f-]{36}$/);
  expect(machineClock().era).toBe(machineClock().era);
});
