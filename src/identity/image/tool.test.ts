import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { codeOf, requireTool, runTool } from '../../base/mod.ts';
import { runBounded, runToEnd, withinMemory } from './tool.ts';

const never = new AbortController().signal;

it('tool - a program gets four gigabytes of memory and no more, and leaves no core', async () => {
  const [command, args] = withinMemory(requireTool('sh', 'dash'), ['-c', 'ulimit -v; ulimit -c']);
  expect((await runTool(command, args)).stdout).toBe(`${4 * 1024 ** 2}\n0\n`);
  // It is the program that is refused memory, not the machine that runs out of it.
  const greedy = 'const all = []; for (;;) all.push(new ArrayBuffer(2 ** 30))';
  const [node, limited] = withinMemory(process.execPath, ['-e', greedy]);
  expect((await runTool(node, limited)).status).not.toBe(0);
});

it('tool - one that takes too long, or says too much, has not ended by itself', async () => {
  const slow = await runBounded('sfdisk', ['--version'], never, { outputBytesMax: 1 });
  expect(slow).toMatchObject({ ended: false, why: 'sfdisk had too much to say' });
  const code = await runToEnd('sfdisk', ['--version'], never, { outputBytesMax: 1 }).then(() => null, codeOf);
  expect(code).toBe('IDENTITY_FAILED');
  // To open a pipe takes somebody at its other end.
  const folder = mkdtempSync(join(tmpdir(), 'understudy-tool-'));
  execFileSync('mkfifo', [join(folder, 'pipe')]);
  const late = await runBounded('blockdev', ['--getsize64', join(folder, 'pipe')], never, { timeoutMs: 100 });
  rmSync(folder, { recursive: true });
  expect(late).toMatchObject({ ended: false });
});
