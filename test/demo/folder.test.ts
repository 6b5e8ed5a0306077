import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { cacheFolder, inWorkFolder } from '../../guests/mod.ts';

let cache: string;

beforeEach(() => {
  cache = mkdtempSync(join(tmpdir(), 'cache-'));
  vi.stubEnv('XDG_CACHE_HOME', cache);
});

afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(cache, { recursive: true });
});

it('demo folder - is there for the work and gone afterwards, also when the work fails', async () => {
  const seen = await inWorkFolder(async (folder) => {
    writeFileSync(join(folder, 'disk.img'), 'x');
    return folder;
  });
  expect(seen.startsWith(join(cache, 'understudy'))).toBe(true);
  expect(existsSync(seen)).toBe(false);
  await expect(inWorkFolder(() => Promise.reject(new Error('no')))).rejects.toThrow('no');
  expect(readdirSync(cacheFolder())).toEqual([]);
});

it('demo folder - what a killed demo left is removed, what another one uses is not', async () => {
  const abandoned = join(cacheFolder(), 'work-abandoned');
  mkdirSync(abandoned);
  writeFileSync(join(abandoned, '.lock'), '');
  const image = join(cacheFolder(), 'debian.img');
  writeFileSync(image, '');
  await inWorkFolder(async (first) => {
    expect(existsSync(abandoned)).toBe(false);
    await inWorkFolder(async (second) => {
      expect(second).not.toBe(first);
      expect(existsSync(first)).toBe(true);
    });
    expect(existsSync(first)).toBe(true);
  });
  expect(existsSync(image)).toBe(true);
});
