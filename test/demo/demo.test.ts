// The demo as its users run it, from the compiled files. The first run on a machine builds the system image.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { cacheFolder } from '../../guests/mod.ts';
import { bootImage, demoImage } from '../../scripts/demo-image.ts';
import { patience } from '../rig/patience.ts';

const DEMO = fileURLToPath(new URL('../../dist/scripts/demo-copy.js', import.meta.url));
/** Building the image takes a minute, on a busy machine three. */
const BUILD_TIMEOUT_MS = patience(400_000);
const DEMO_TIMEOUT_MS = patience(120_000);

const never = new AbortController().signal;
const quiet = (): void => undefined;

/** Runs the demo to its end; `onOutput` is told everything it has said so far, and may end it. */
async function runDemo(onOutput: (text: string, interrupt: () => void) => void) {
  const child = spawn(process.execPath, [DEMO], { stdio: ['ignore', 'pipe', 'pipe'] });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (data: Buffer) => {
    stdout += data.toString();
    onOutput(stdout, () => child.kill('SIGINT'));
  });
  child.stderr.on('data', (data: Buffer) => {
    stderr += data.toString();
  });
  const [status] = (await once(child, 'close')) as [number | null];
  return { status, stdout, stderr };
}

/** Folders of the demo, and programs that use the image. */
function leftovers(image: string): string[] {
  const folders = [cacheFolder(), tmpdir()].flatMap((folder) => readdirSync(folder));
  const servers = readdirSync('/proc')
    .filter((name) => /^[0-9]+$/.test(name))
    .filter((pid) => commandOf(pid).includes(image));
  return [...folders.filter((name) => /^understudy-demo-|^work-/.test(name)), ...servers];
}

function commandOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
  } catch (error) {
    // The process has ended since it was listed.
    if (['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '')) return '';
    throw error;
  }
}

describe('the demo', () => {
  it(
    'demo - the source is a real system: its image boots by itself to a login',
    async () => {
      await bootImage(await demoImage(quiet, never), never);
    },
    BUILD_TIMEOUT_MS,
  );

  it(
    'demo - five copies at different times, one killed and resumed, cost less than two reads of the source',
    async () => {
      const image = await demoImage(quiet, never);
      const started = performance.now();
      const { status, stdout, stderr } = await runDemo(quiet);
      expect({ status, stderr }, stdout).toEqual({ status: 0, stderr: '' });
      expect(performance.now() - started).toBeLessThan(DEMO_TIMEOUT_MS);
      const rows = stdout.split('\n').filter((line) => /^ {2}disk-[1-5] .* yes +yes/.test(line));
      expect(rows).toHaveLength(5);
      expect(rows.filter((row) => /killed at .*, resumed at /.test(row))).toHaveLength(1);
      const passes = Number(/counted by nbdkit +[0-9.]+ [KMG]iB +([0-9.]+)/.exec(stdout)?.[1]);
      expect(passes).toBeGreaterThan(1);
      expect(passes).toBeLessThan(2);
      expect(leftovers(image)).toEqual([]);
    },
    BUILD_TIMEOUT_MS,
  );

  it(
    'demo - interrupted in the middle, it says so and leaves nothing behind',
    async () => {
      const image = await demoImage(quiet, never);
      const { status, stderr } = await runDemo((text, interrupt) => {
        if (/disk-2 [0-9]+ %/.test(text)) interrupt();
      });
      expect(status).toBe(1);
      expect(stderr).toContain('stopped by SIGINT');
      expect(leftovers(image)).toEqual([]);
    },
    BUILD_TIMEOUT_MS,
  );
});
