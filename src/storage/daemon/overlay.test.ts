import { lstatSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { limits } from '../../base/mod.ts';
import { makeOverlay } from './overlay.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'ust-overlay-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const request = () => ({ folder, name: 'web1', volumeBytes: 8 * limits.MIB, boundBytesMax: 4 * limits.MIB });

it('overlay - what a lead has overwritten is for nobody else to read', async () => {
  const before = process.umask(0);
  try {
    const { path, boundBytes } = await makeOverlay(request());
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(statSync(join(folder, '.overlays')).mode & 0o777).toBe(0o700);
    expect(statSync(path).size).toBe(boundBytes);
    expect(readFileSync(path).toString('latin1', 0, 3)).toBe('QFI');
  } finally {
    process.umask(before);
  }
});

it('overlay - a name that is there already is not written through, wherever it leads', async () => {
  const other = join(folder, 'other');
  writeFileSync(other, 'mine');
  mkdirSync(join(folder, '.overlays'));
  symlinkSync(other, join(folder, '.overlays/web1.qcow2'));
  const { path } = await makeOverlay(request());
  expect(lstatSync(path).isFile()).toBe(true);
  expect(readFileSync(other, 'utf8')).toBe('mine');
});
