import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { runCommand } from './command-probe.ts';

const clock = { nowMs: () => performance.now() };
const run = (script: string, signal = new AbortController().signal) =>
  runCommand(['/bin/sh', '-c', script], clock, signal);

it('command - tells how long it took, and the number in its first line', async () => {
  expect(await run('echo 12.5; echo more')).toMatchObject({ kind: 'answer', value: 12.5 });
  expect(await run('echo all is well')).toMatchObject({ kind: 'answer', value: null });
  expect(await run('true')).toMatchObject({ kind: 'answer', value: null });
  expect(await run('echo Infinity')).toMatchObject({ kind: 'answer', value: null });
});

it('command - a status other than 0, a signal, and a program that is not there are failures with their reason', async () => {
  expect(await run('echo 5; exit 3')).toMatchObject({ kind: 'failure', reason: 'ended with status 3', value: null });
  expect(await run('kill -TERM $$')).toMatchObject({ kind: 'failure', reason: 'ended by SIGTERM', atLeastMs: null });
  const gone = await runCommand(['/nowhere/check'], clock, new AbortController().signal);
  expect(gone).toMatchObject({ kind: 'failure', atLeastMs: null, value: null });
});

it('command - more output than anybody reads does no harm', async () => {
  expect(await run('yes 7 | head -c 10000000')).toMatchObject({ kind: 'answer', value: 7 });
});

it('command - is ended with all that it started', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'understudy-command-'));
  try {
    const file = join(folder, 'pid');
    writeFileSync(file, '');
    const end = new AbortController();
    const running = run(`sleep 600 & echo $! > ${file}; wait`, end.signal);
    while (readFileSync(file, 'utf8') === '') await delay(10);
    end.abort();
    expect(await running).toMatchObject({ kind: 'failure', reason: 'ended by SIGKILL' });
    const pid = Number(readFileSync(file, 'utf8'));
    const isAlive = (): boolean => {
      try {
        return !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
      } catch {
        return false;
      }
    };
    for (let round = 0; round < 500 && isAlive(); round += 1) await delay(10);
    expect(isAlive()).toBe(false);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
