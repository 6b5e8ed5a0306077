// `understudy replay` as a process.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { runTool } from '../../src/base/mod.ts';
import { patience } from '../rig/patience.ts';
import { documentedJson, shapeDifferences } from '../support/json-shape.ts';

const PROGRAM = fileURLToPath(new URL('../../dist/run/cli/understudy.js', import.meta.url));
const SECONDS = 600;
let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'understudy-cli-replay-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function file(name: string, text: string): string {
  writeFileSync(join(folder, name), text);
  return join(folder, name);
}

function value(second: number): number {
  return second >= 300 && second < 400 ? 900 : 100;
}

/** A minute and forty seconds of a broken objective. */
function recording(): string {
  const lines = Array.from({ length: SECONDS }, (_, second) => `${1_795_687_200 + second},${value(second)}`);
  return file('data.csv', `timestamp,value\n${lines.join('\n')}\n`);
}

function replay(...args: readonly string[]) {
  return runTool(process.execPath, [PROGRAM, 'replay', ...args], { timeoutMs: patience(60_000) });
}

const POLICY = 'signals:\n  - name: value\n    objective: { below: 300 }\n';

test('says what would have happened, for people and for programs', async () => {
  const policy = file('policy.yaml', POLICY);
  const labels = file(
    'labels.csv',
    '2026-11-26 10:05:00,2026-11-26 10:06:40\n2026-11-26 10:08:20,2026-11-26 10:09:00\n',
  );
  const args = ['--policy', policy, '--signal', recording(), '--labels', labels];
  const text = await replay(...args);
  expect({ status: text.status, stderr: text.stderr }).toEqual({ status: 0, stderr: '' });
  expect(text.stdout).toContain('2026-11-26T10:00:00.000Z to 2026-11-26T10:09:59.000Z, 600 samples');
  expect(text.stdout).toContain('▁▁▁███');
  expect(text.stdout).toContain('2026-11-26T10:05:29.000Z  scale-out to 2 hosts');
  expect(text.stdout).toContain(
    'labels: 1 found, half of them within 29.0s, 1 missed; 0 times something else was reported',
  );

  const json = await replay(...args, '--json');
  expect(json.stdout).toMatch(/^[^\n]+\n$/);
  const result = JSON.parse(json.stdout) as { labels: unknown; events: { verdict: string }[] };
  expect(shapeDifferences(result, documentedJson('replay'))).toEqual([]);
  expect(result.labels).toEqual({ found: 1, missed: 1, false: 0, medianDelaySeconds: 29 });
  expect(result.events.map(({ verdict }) => verdict)).toEqual([
    'unknown',
    'healthy',
    'degraded',
    'failing',
    'degraded',
    'healthy',
  ]);
});

test('the shortest policy there is', async () => {
  const policy = file('policy.yaml', 'signals: [{name: value, baseline: {}}]');
  const { status, stdout } = await replay('--policy', policy, '--signal', recording(), '--json');
  expect(status).toBe(0);
  const { events, labels } = JSON.parse(stdout) as { events: { at: string; verdict: string }[]; labels: unknown };
  expect(labels).toBe(null);
  expect(events.map(({ verdict }) => verdict).slice(0, 3)).toEqual(['unknown', 'healthy', 'degraded']);
});

test('asks Prometheus for a range', async () => {
  const values = Array.from({ length: SECONDS }, (_, second) => [1_795_687_200 + second, String(value(second))]);
  const result = [{ metric: { __name__: 'latency' }, values }];
  const answer = JSON.stringify({ status: 'success', data: { resultType: 'matrix', result } });
  const server = createServer((request, response) => {
    response.statusCode = request.url?.startsWith('/api/v1/query_range') === true ? 200 : 404;
    response.end(answer);
  });
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  try {
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const policy = file('policy.yaml', POLICY);
    const { status, stdout } = await replay(
      '--policy',
      policy,
      '--signal',
      `${url}/api/v1/query_range?query=x`,
      '--json',
    );
    expect(status).toBe(0);
    expect((JSON.parse(stdout) as { scaling: unknown[] }).scaling).toHaveLength(1);
    const wrong = await replay('--policy', policy, '--signal', `${url}/elsewhere`);
    expect(wrong).toMatchObject({ status: 2, stdout: '' });
    expect(wrong.stderr).toContain('answers 404');
  } finally {
    server.close();
  }
});

test.each([
  ['signals: []', 'policy.yaml:1:1: signals: must have at least 1 entry'],
  ['signals: [{name: value}]', 'has neither an objective nor a baseline'],
  ['signals: [{name: value, objective: {below: 1, share: 0.5, percentile: 95}}]', 'say the same'],
  ['signals: [{name: value, objective: {below: 1, fast: 2m, slow: 1m}}]', 'must not be shorter'],
  [
    'signals: [{name: latency, objective: {below: 1}}, {name: value, baseline: {}}]',
    'the recording has no "latency"; it has value',
  ],
])('refuses a policy like %j', async (text, message) => {
  const policy = file('policy.yaml', text);
  const { status, stdout, stderr } = await replay('--policy', policy, '--signal', recording());
  expect(status).not.toBe(0);
  expect(stdout).toBe('');
  expect(stderr).toContain(message);
});

test('a file that is not there is said to be so', async () => {
  const policy = file('policy.yaml', POLICY);
  const { status, stderr } = await replay('--policy', policy, '--signal', join(folder, 'none.csv'));
  expect(status).toBe(2);
  expect(stderr).toContain('none.csv cannot be read: ENOENT');
});

test('simulate sets a policy beside others, on arrivals of a file and on those that come with the program', async () => {
  const policy = file('policy.yaml', 'signals: [{name: latency, objective: {below: 300}}]\nhosts: {max: 4}\n');
  const rates = file(
    'arrivals.csv',
    `rate\n${Array.from({ length: 900 }, (_, second) => (second < 300 ? 40 : 150)).join('\n')}\n`,
  );
  const simulated = (...args: readonly string[]) =>
    runTool(process.execPath, [PROGRAM, 'simulate', ...args], { timeoutMs: patience(60_000) });
  const json = await simulated('--policy', policy, '--rate', rates, '--json');
  expect({ status: json.status, stderr: json.stderr }).toEqual({ status: 0, stderr: '' });
  const answer = JSON.parse(json.stdout) as { seconds: number; results: { scaler: string; scaling: unknown[] }[] };
  expect(shapeDifferences(answer, documentedJson('simulate'))).toEqual([]);
  expect(answer.seconds).toBe(900);
  expect(answer.results.map(({ scaler }) => scaler)).toEqual(['understudy', 'kubernetes-hpa', 'target-tracking']);
  expect(answer.results[0]?.scaling[0]).toEqual({ second: 330, action: 'scale-out', hosts: 2 });
  const text = await simulated('--policy', policy, '--trace', 'flash-crowd');
  expect(text.stdout).toContain('seconds above 300 ms');
  for (const [args, message] of [
    [['--policy', policy], 'either --rate FILE or --trace NAME'],
    [['--policy', policy, '--trace', 'comet'], 'there is no trace "comet"'],
    [['--policy', policy, '--rate', file('wrong.csv', '1\nmany\n')], 'wrong.csv, line 2: "many" is not a rate'],
    [['--policy', file('cpu.yaml', POLICY), '--rate', rates], 'the model has no "value"'],
  ] as const) {
    const wrong = await simulated(...args);
    expect(wrong).toMatchObject({ status: 2, stdout: '' });
    expect(wrong.stderr).toContain(message);
  }
});
