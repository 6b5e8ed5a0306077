import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { Baseline } from '../detection/mod.ts';
import { Learned } from './learned.ts';
import type { AgentSignal } from './protocol.ts';

const SIGNAL: AgentSignal = {
  name: 'cpu.pressure',
  objective: null,
  baseline: { direction: 'above', learnSamples: 300 },
  outside: false,
};
const DAY_MS = 24 * 3600 * 1000;

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'understudy-learned-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

function memory() {
  const baseline = new Baseline();
  for (let second = 1; second <= 400; second += 1) baseline.add({ atMs: second * 1000, value: second % 5 });
  return baseline.memory;
}

function filled(): void {
  const learned = new Learned(folder, () => undefined);
  const kept = memory();
  if (kept !== null) learned.keep(SIGNAL, kept);
  learned.save();
}

it('learned - comes back after a restart, for the same way to judge, and not from the future or too long ago', () => {
  filled();
  expect(statSync(join(folder, 'learned.json')).mode & 0o777).toBe(0o600);
  const learned = new Learned(folder, () => undefined);
  expect(learned.of(SIGNAL, 500_000)).toEqual(memory());
  expect(learned.of({ ...SIGNAL, baseline: { direction: 'both', learnSamples: 300 } }, 500_000)).toBeNull();
  expect(learned.of({ ...SIGNAL, name: 'io.pressure' }, 500_000)).toBeNull();
  expect(learned.of(SIGNAL, 399_999)).toBeNull();
  expect(learned.of(SIGNAL, 31 * DAY_MS)).toBeNull();
});

it('learned - a file that is broken in any way is learned anew, and nothing is lost by that', () => {
  filled();
  const path = join(folder, 'learned.json');
  const whole = readFileSync(path, 'utf8');
  for (const text of [
    '',
    '{',
    '[]',
    'null',
    '{"version":2}',
    whole.slice(0, 500),
    whole.replace('"lastMs":', '"l":'),
  ]) {
    writeFileSync(path, text);
    const said: string[] = [];
    expect(new Learned(folder, (line) => said.push(line)).of(SIGNAL, 500_000)).toBeNull();
    expect(said).toEqual([]);
  }
});

it('learned - a folder that is not there is said once, and everything goes on', () => {
  const said: string[] = [];
  const learned = new Learned(join(folder, 'nowhere'), (line) => said.push(line));
  const kept = memory();
  if (kept !== null) learned.keep(SIGNAL, kept);
  for (let round = 0; round < 3; round += 1) learned.save();
  expect(said).toEqual([expect.stringContaining('nowhere/learned.json cannot be written: ENOENT')]);
  expect(learned.of(SIGNAL, 500_000)).toEqual(kept);
  expect(existsSync(join(folder, 'nowhere'))).toBe(false);
});

it('learned - without a folder it lasts as long as the process', () => {
  const learned = new Learned(null, () => undefined);
  const kept = memory();
  if (kept !== null) learned.keep(SIGNAL, kept);
  learned.save();
  expect(learned.of(SIGNAL, 500_000)).toEqual(kept);
});
