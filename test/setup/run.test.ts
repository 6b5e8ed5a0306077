import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { leakedSince, snapshot } from '../../scripts/leaks.mjs';
import { patience } from '../rig/patience.ts';
import { SmallProject } from './project.ts';

describe('the look for leaks', () => {
  it('leaks - finds a process by its mark, shared memory and temporary files, and nothing once they are gone', async () => {
    const run = `leak-test-${process.pid}`;
    const temporary = mkdtempSync(join(tmpdir(), 'leaks-'));
    const shared = `/dev/shm/understudy-${run}`;
    const folder = `/dev/shm/understudy-folder-${run}`;
    const before = snapshot();
    const child = spawn('sleep', ['600'], { env: { UNDERSTUDY_TEST_RUN: run }, detached: true, stdio: 'ignore' });
    const closed = once(child, 'close');
    const ours = async (): Promise<string[]> => {
      const all = await leakedSince(before, { run, temporary, graceMs: 0 });
      // Tests that run beside this one have things of their own.
      return all.filter((leak) =>
        [`process ${child.pid}`, shared, folder, temporary].some((name) => leak.includes(name)),
      );
    };
    try {
      // Also a folder with nothing in it, unless it is where a user's copies meet.
      mkdirSync(folder);
      writeFileSync(shared, '');
      writeFileSync(join(temporary, 'left.partial'), '');
      const wanted = [
        `process ${child.pid} sleep 600`,
        `shared memory ${folder}`,
        `shared memory ${shared}`,
        `temporary file ${join(temporary, 'left.partial')}`,
      ];
      await expect.poll(async () => (await ours()).sort()).toEqual(wanted.sort());
    } finally {
      child.kill('SIGKILL');
      await closed;
      rmSync(shared, { force: true });
      rmSync(folder, { recursive: true, force: true });
      rmSync(temporary, { recursive: true });
    }
    expect(await ours()).toEqual([]);
  });
});

describe('the run of all tests', () => {
  let project: SmallProject;

  beforeEach(() => {
    project = new SmallProject();
    project.link('vitest');
    project.write('vitest.config.ts', `export default { test: { include: ['test/**/*.test.ts'] } };\n`);
  });

  afterEach(() => project.dispose());

  const suite = (...tests: string[]): string =>
    ['import { spawn } from "node:child_process";', 'import { it } from "vitest";', ...tests].join('\n');
  const pass = 'it("passes", () => {});';
  const fail = 'it("fails", () => { throw new Error("no"); });';

  /**
   * With mounts, shared memory, loop devices and network namespaces of its own: the look for leaks must not see what
   * tests beside this one have meanwhile.
   */
  const alone = [
    'unshare',
    ...(process.getuid?.() === 0 ? [] : ['--map-root-user']),
    '--mount',
    '--propagation',
    'private',
    ...['sh', '-c', 'for at in /dev/shm /sys/block /run; do mount -t tmpfs tmpfs $at || exit; done; exec "$@"', 'sh'],
  ];

  function runTests(env: NodeJS.ProcessEnv): { status: number | null; last: string | undefined; stdout: string } {
    const { status, stdout } = project.run([...alone, process.execPath, 'scripts/test.mjs', 'test'], { env });
    return { status, last: stdout.trimEnd().split('\n').at(-1), stdout };
  }

  it('run - counts what passed, failed, could not be loaded and was left out', () => {
    project.write('test/a.test.ts', suite(pass, fail, `it.${'skip'}("later", () => {});`));
    project.write('test/b.test.ts', 'import "./gone.ts";');
    expect(runTests({ CI: '' })).toMatchObject({ status: 1, last: '1 passed, 2 failed, 1 skipped' });
  });

  it('run - a test that is left out fails the run on CI and not elsewhere', () => {
    project.write('test/a.test.ts', suite(pass, `it.${'skip'}("later", () => {});`));
    expect(runTests({ CI: '' })).toMatchObject({ status: 0, last: '1 passed, 0 failed, 1 skipped' });
    expect(runTests({ CI: 'true' })).toMatchObject({ status: 1, last: '1 passed, 0 failed, 1 skipped' });
  });

  it('run - a process that a test leaves behind fails the run', () => {
    const leak = 'spawn("sleep", ["600"], { detached: true, stdio: "ignore" }).unref();';
    project.write('test/a.test.ts', suite(`it("leaks", () => { ${leak} });`));
    const { status, last, stdout } = runTests({ CI: '' });
    const pid = Number(/left behind: process ([0-9]+) sleep 600/.exec(stdout)?.[1]);
    expect(pid).toBeGreaterThan(1);
    process.kill(pid, 'SIGKILL');
    expect({ status, last }).toEqual({ status: 1, last: '1 passed, 1 failed, 0 skipped' });
  });

  it('run - an interruption ends what the tests had started, also what does not want to, and unmounts', async () => {
    const stubborn = `spawn("sh", ["-c", "trap '' TERM; sleep 600; sleep 600"], { detached: true, stdio: "ignore" }).unref();`;
    const mount = 'spawnSync("mount", ["-t", "tmpfs", "none", process.env.TMPDIR]);';
    const body = `${stubborn} ${mount} console.log("underway"); await new Promise(() => {});`;
    project.write(
      'test/a.test.ts',
      suite('import { spawnSync } from "node:child_process";', `it("hangs", async () => { ${body} }, 600_000);`),
    );
    const [program = '', ...args] = [...alone, process.execPath, 'scripts/test.mjs', 'test'];
    const child = spawn(program, args, { cwd: project.folder, stdio: ['ignore', 'pipe', 'inherit'] });
    let said = '';
    child.stdout.on('data', (chunk: Buffer) => {
      said += chunk.toString();
    });
    await expect.poll(() => said, { timeout: patience(30_000) }).toContain('underway');
    child.kill('SIGTERM');
    expect(await once(child, 'close')).toEqual([1, null]);
    expect(said).not.toContain('left behind');
    expect(said.trimEnd()).toMatch(/\n0 passed, 1 failed, 0 skipped$/);
  });
});

describe('the line for CI', () => {
  let project: SmallProject;

  beforeEach(() => {
    project = new SmallProject();
  });

  afterEach(() => project.dispose());

  function ci(script: string): { status: number | null; last: string | undefined } {
    project.write('package.json', JSON.stringify({ name: 'small', version: '1.0.0', scripts: { test: script } }));
    const { status, stdout } = project.run(['.ci/run']);
    return { status, last: stdout.trimEnd().split('\n').at(-1) };
  }

  it('ci - repeats the counts in its last line and keeps the exit status', () => {
    expect(ci('echo 3 passed, 0 failed, 0 skipped')).toEqual({ status: 0, last: '3 passed, 0 failed, 0 skipped' });
    const failing = 'echo 2 passed, 1 failed, 0 skipped; echo more; exit 1';
    expect(ci(failing)).toEqual({ status: 1, last: '2 passed, 1 failed, 0 skipped' });
  });

  it('ci - a run without counts is a failure', () => {
    expect(ci('exit 7')).toMatchObject({ last: '0 passed, 1 failed, 0 skipped' });
    expect(ci('exit 0')).toEqual({ status: 1, last: '0 passed, 1 failed, 0 skipped' });
  });

  it('ci - a run that does not end is ended, and the limit is named', () => {
    const script = 'echo 3 passed, 0 failed, 0 skipped; exec sleep 600';
    project.write('package.json', JSON.stringify({ name: 'small', version: '1.0.0', scripts: { test: script } }));
    const { status, stdout } = project.run(['.ci/run'], { env: { UNDERSTUDY_CI_MINUTES: '0.05' } });
    expect(status).toBe(124);
    expect(stdout).toContain('did not end within the limit of 0.05 minutes');
    expect(stdout.trimEnd()).toMatch(/\n3 passed, 1 failed, 0 skipped$/);
  });

  it('ci - the tests know that they are on CI', () => {
    expect(ci('test "$CI" = true && echo 1 passed, 0 failed, 0 skipped')).toMatchObject({ status: 0 });
  });
});
