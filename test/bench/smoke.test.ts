// The benchmarks are run by hand and rarely, so this keeps them alive: one tiny comparison from start to end, and one
// that is interrupted. Nothing is learnt about speed here.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';

let folder = '';

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'understudy-bench-test-'));
});

afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

function bench(...args: string[]): ChildProcess {
  return spawn(process.execPath, ['dist/bench/main.js', ...args, '--dir', folder], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

async function textOf(stream: NodeJS.ReadableStream | null): Promise<string> {
  let text = '';
  for await (const chunk of stream ?? []) text += String(chunk);
  return text;
}

function leftovers(pid: number | undefined): string[] {
  const inMemory = readdirSync('/dev/shm').filter((name) => name === `understudy-bench-${pid}`);
  return [...readdirSync(folder), ...inMemory];
}

test('bench - a tiny comparison with dd prints its table and leaves nothing behind', async () => {
  const child = bench(
    'all-at-once',
    '--size',
    '32M',
    '--count',
    '2',
    '--rounds',
    '1',
    '--place',
    'disk',
    '--peers',
    'buffered',
  );
  const ended = once(child, 'exit');
  const [stdout, stderr] = await Promise.all([textOf(child.stdout), textOf(child.stderr)]);
  const [status] = await ended;
  expect(status, stderr).toBe(0);
  expect(stdout).toMatch(/^\| dd x K buffered \| [\d.]+ \(one\) \| [\d.]+ \(one\) \| [\d.]+ \(one\) \| 1 \|$/m);
  expect(stdout).not.toContain('dcfldd');
  expect(leftovers(child.pid)).toEqual([]);
});

test('bench - NBD with and without TLS, directly and through a gateway, gives a row for each way', async () => {
  const child = bench('nbd-tls', '--size', '4M', '--rounds', '1');
  const ended = once(child, 'exit');
  const [stdout, stderr] = await Promise.all([textOf(child.stdout), textOf(child.stderr)]);
  const [status] = await ended;
  expect(status, stderr).toBe(0);
  for (const way of ['TLS, directly', 'TCP, gateway', 'TLS, gateway']) {
    expect(stdout.match(new RegExp(`^\\| ${way} \\| \\d+ \\(one\\) \\| .* \\| 1 \\|$`, 'gm'))).toHaveLength(3);
  }
  expect(leftovers(child.pid)).toEqual([]);
});

test('bench - an interrupted run ends its processes and removes what it made', async () => {
  const child = bench(
    'all-at-once',
    '--size',
    '64M',
    '--count',
    '2',
    '--rounds',
    '50',
    '--place',
    'disk',
    '--peers',
    'buffered',
  );
  const ended = once(child, 'exit');
  // The first line on standard error announces the first comparison: from then on there is something to undo.
  await once(child.stderr ?? child, 'data');
  child.kill('SIGINT');
  const [status] = await ended;
  expect(status).toBe(130);
  expect(leftovers(child.pid)).toEqual([]);
});

test('bench - an unknown question is refused with the names of those that exist', async () => {
  const child = bench('fastest');
  const ended = once(child, 'exit');
  const stderr = await textOf(child.stderr);
  const [status] = await ended;
  expect(status).toBe(2);
  expect(stderr).toContain('no question "fastest"');
});
