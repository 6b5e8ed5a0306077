// Goal: bare file systems end where they say, and what nobody can make sense of is copied whole, without a crash.
import { mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { limits, seededRandom } from '../../src/base/mod.ts';
import { type CopyExtent, type ExtentRequest, resolveExtent, withLocalView } from '../../src/replication/extent/mod.ts';
import { makeExt, makeFile, makeRandom, makeTree, place, run, sizeOf } from '../support/disk-image.ts';

const { MIB } = limits;
let root: string;
let tree: string;
let folder: string;
let serial = 0;

beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'understudy-extent-test-'));
  tree = makeTree(join(root, 'tree'), 7);
});
afterAll(() => rmSync(root, { recursive: true, force: true }));
beforeEach(() => {
  serial += 1;
  folder = join(root, String(serial));
  mkdirSync(folder);
});

function extentOf(path: string, kind: 'whole' | 'image' | 'used'): Promise<CopyExtent> {
  return ask(path, { kind });
}

function ask(path: string, request: ExtentRequest): Promise<CopyExtent> {
  return withLocalView(path, (view) => resolveExtent(request, view));
}

describe('image - bare file systems', () => {
  const makers: readonly (readonly [string, string, readonly string[]])[] = [
    ['ext4', 'mke2fs', ['-q', '-t', 'ext4']],
    ['xfs', 'mkfs.xfs', ['-q']],
    ['btrfs', 'mkfs.btrfs', ['-q']],
    ['vfat', 'mkfs.vfat', []],
    ['vfat', 'mkfs.vfat', ['-F', '32']],
    ['ntfs', 'mkfs.ntfs', ['-q', '-F', '-Q']],
    ['swap', 'mkswap', ['-q']],
  ];
  test.each(makers)('%s by %s %j', async (type, tool, args) => {
    const sizeBytes = 320 * MIB;
    const image = makeFile(join(folder, 'a.img'), sizeBytes);
    run(tool, [...args, image]);
    truncateSync(image, 500 * MIB);
    const extent = await extentOf(image, 'image');
    expect(extent.why).toMatch(new RegExp(`^${type}, ends at`));
    expect(extent.endBytes).toBeLessThanOrEqual(sizeBytes);
    expect(extent.endBytes).toBeGreaterThan(sizeBytes - 256 * 1024);
    if (type !== 'ext4') expect((await extentOf(image, 'used')).skip).toEqual([]);
    truncateSync(image, 200 * MIB);
    expect(await extentOf(image, 'image')).toMatchObject({ endBytes: 200 * MIB });
  });

  test('btrfs over two devices means all', async () => {
    const image = makeFile(join(folder, 'a.img'), 200 * MIB);
    run('mkfs.btrfs', ['-q', image, makeFile(join(folder, 'b.img'), 200 * MIB)]);
    truncateSync(image, 900 * MIB);
    expect(await extentOf(image, 'image')).toMatchObject({ endBytes: 900 * MIB });
  });
});

describe('nothing to be recognised', () => {
  test('an empty disk, and garbage of any kind: all, without a crash', async () => {
    const empty = makeFile(join(folder, 'empty.img'), 10 * MIB);
    const noise = makeRandom(join(folder, 'noise.img'), 3 * MIB + 77);
    for (const kind of ['image', 'used'] as const) {
      for (const path of [empty, noise]) {
        expect(await extentOf(path, kind)).toEqual({
          endBytes: sizeOf(path),
          skip: [],
          why: 'whole: no partition table or file system recognised',
        });
      }
    }
  });

  test('superblocks and tables with random bytes in them: a sound answer whatever they say', async () => {
    const random = seededRandom(20261123);
    for (let round = 0; round < 12; round++) {
      const image = makeExt(join(folder, 'a.img'), tree, 24 * MIB, ['-t', 'ext4', '-O', '^metadata_csum']);
      for (let count = 0; count < 6; count++) {
        const byte = join(folder, 'byte');
        writeFileSync(byte, Buffer.from([random.below(256)]));
        place(byte, image, 1024 + random.below(1024 + 4096));
      }
      for (const kind of ['image', 'used'] as const) {
        const { endBytes, skip } = await extentOf(image, kind);
        expect(endBytes).toBeGreaterThan(0);
        expect(endBytes).toBeLessThanOrEqual(24 * MIB);
        for (const [index, range] of skip.entries()) {
          expect(range.offsetBytes + range.lengthBytes).toBeLessThanOrEqual(skip[index + 1]?.offsetBytes ?? endBytes);
        }
      }
    }
  });

  test('whole and bytes', async () => {
    const image = makeFile(join(folder, 'a.img'), 10 * MIB);
    expect(await extentOf(image, 'whole')).toMatchObject({ endBytes: 10 * MIB, skip: [] });
    expect(await ask(image, { kind: 'bytes', bytes: 12345 })).toMatchObject({ endBytes: 12345, skip: [] });
    await expect(ask(image, { kind: 'bytes', bytes: 10 * MIB + 1 })).rejects.toMatchObject({ code: 'USAGE' });
    await expect(ask(image, { kind: 'bytes', bytes: 0 })).rejects.toMatchObject({ code: 'USAGE' });
  });
});
