// `npm run demo` stopped by Ctrl-C while its machines run. A run to its end is what loop.test.ts does, without the pictures.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { commandsWith } from '../rig/machines.ts';
import { patience } from '../rig/patience.ts';

const DEMO = fileURLToPath(new URL('../../dist/scripts/demo-loop.js', import.meta.url));
const PATIENCE_MS = patience(900_000);

it(
  'demo - stopped by Ctrl-C with a machine running, it leaves neither process nor network nor file',
  async () => {
    const folder = mkdtempSync(join(tmpdir(), 'd'));
    const networks = readdirSync('/run/netns');
    const child = spawn(process.execPath, [DEMO], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, TMPDIR: folder },
    });
    let stdout = '';
    let stderr = '';
    let machines = 0;
    child.stdout.on('data', (data: Buffer) => {
      stdout += data.toString();
      if (machines > 0 || !stdout.includes('web1 serves a page')) return;
      machines = commandsWith(folder).size;
      child.kill('SIGINT');
    });
    child.stderr.on('data', (data: Buffer) => {
      stderr += data.toString();
    });
    const [status] = await once(child, 'close');
    expect({ status, stderr }, stdout).toEqual({ status: 1, stderr: 'demo: stopped by SIGINT\n' });
    expect(machines).toBeGreaterThan(2);
    expect([...commandsWith(folder).values()]).toEqual([]);
    expect(readdirSync('/run/netns')).toEqual(networks);
    expect(readdirSync(folder)).toEqual([]);
    rmSync(folder, { recursive: true });
  },
  PATIENCE_MS,
);
