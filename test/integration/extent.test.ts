// Goal: what `--extent` leaves out is never needed. Method: real images by mkfs, sfdisk and mount; the needed ranges are
// copied onto zeros, and then e2fsck finds nothing and every file has its content; and no block that debugfs calls in use
// is left out.
import { mkdirSync, mkdtempSync, renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { limits } from '../../src/base/mod.ts';
import { type CopyExtent, resolveExtent, withLocalView } from '../../src/replication/extent/mod.ts';
import {
  attachLoop,
  blocksInUse,
  contentOf,
  copyNeeded,
  makeExt,
  makeFile,
  makeRandom,
  makeTree,
  place,
  readBytes,
  run,
  soil,
} from '../support/disk-image.ts';

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

function extentOf(path: string, kind: 'image' | 'used'): Promise<CopyExtent> {
  return withLocalView(path, (view) => resolveExtent({ kind }, view));
}

function partitionStarts(path: string): { start: number; size: number }[] {
  const { partitiontable } = JSON.parse(run('sfdisk', ['--json', path]));
  return partitiontable.partitions.map((entry: { start: number; size: number }) => ({
    start: entry.start * 512,
    size: entry.size * 512,
  }));
}

/** The proof for one file system at an offset of an image. */
function proveExt(image: string, offset: number, extent: CopyExtent): void {
  const copy = join(folder, 'copy.img');
  copyNeeded(image, copy, extent.endBytes, extent.skip);
  const at = offset === 0 ? '' : `?offset=${offset}`;
  run('e2fsck', ['-fn', `${copy}${at}`]);
  const original = contentOf(`${image}${at}`, join(folder, `original-${offset}`));
  expect(original.split('\n').length).toBeGreaterThan(30);
  expect(contentOf(`${copy}${at}`, join(folder, `copied-${offset}`))).toBe(original);

  const header = run('dumpe2fs', ['-h', `${image}${at}`]);
  const number = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(header)?.[1]);
  const blockBytes = number('Block size');
  const inUse = blocksInUse(`${image}${at}`, number('Block count'));
  for (const { offsetBytes, lengthBytes } of extent.skip) {
    for (let byte = offsetBytes; byte < offsetBytes + lengthBytes; byte += blockBytes) {
      const block = Math.floor((byte - offset) / blockBytes);
      if (inUse.has(block)) expect.fail(`block ${block} is in use and skipped`);
    }
  }
  rmSync(copy);
}

describe('used - bare ext file systems', () => {
  const variants: readonly (readonly [string, readonly string[], number])[] = [
    ['ext4', ['-t', 'ext4', '-b', '4096'], 200 * MIB],
    ['ext3', ['-t', 'ext3'], 64 * MIB],
    ['ext2 with 1 KiB blocks', ['-t', 'ext2', '-b', '1024'], 64 * MIB],
    ['ext4 with 1 KiB blocks and uninitialised groups', ['-t', 'ext4', '-b', '1024', '-O', 'uninit_bg'], 64 * MIB],
    ['bigalloc', ['-t', 'ext4', '-b', '4096', '-O', 'bigalloc', '-C', '65536'], 200 * MIB],
    ['bigalloc with 1 KiB blocks', ['-t', 'ext4', '-b', '1024', '-O', 'bigalloc', '-C', '16384'], 64 * MIB],
    ['32 bit', ['-t', 'ext4', '-O', '^64bit'], 64 * MIB],
    ['64bit', ['-t', 'ext4', '-O', '64bit,^metadata_csum'], 64 * MIB],
    ['meta_bg', ['-t', 'ext4', '-b', '1024', '-O', 'meta_bg,^resize_inode'], 64 * MIB],
    ['sparse_super2', ['-t', 'ext4', '-b', '4096', '-O', 'sparse_super2'], 300 * MIB],
    ['no flex_bg, short last group', ['-t', 'ext4', '-O', '^flex_bg', '-b', '1024'], 61 * MIB + 3 * 1024],
  ];
  test.each(variants)('%s', async (_name, mkfsArgs, sizeBytes) => {
    const image = makeExt(join(folder, 'a.img'), tree, sizeBytes, mkfsArgs);
    const before = await extentOf(image, 'used');
    soil(image, before.skip);
    const extent = await extentOf(image, 'used');
    expect(extent.skip).toEqual(before.skip);
    expect(extent.endBytes).toBe(sizeBytes);
    const skipped = extent.skip.reduce((sum, range) => sum + range.lengthBytes, 0);
    expect(skipped).toBeGreaterThan(sizeBytes / 3);
    expect(extent.why).toMatch(/^ext[234]: .* in use$/);
    proveExt(image, 0, extent);
  });

  test('a larger device behind the file system is copied', async () => {
    const image = makeExt(join(folder, 'a.img'), tree, 64 * MIB, ['-t', 'ext4']);
    truncateSync(image, 80 * MIB);
    const extent = await extentOf(image, 'used');
    expect(extent.endBytes).toBe(80 * MIB);
    expect(Math.max(...extent.skip.map((range) => range.offsetBytes + range.lengthBytes))).toBeLessThanOrEqual(
      64 * MIB,
    );
  });

  test('a path with a question mark', async () => {
    const image = join(folder, 'a?offset=5.img');
    renameSync(makeExt(join(folder, 'a.img'), tree, 64 * MIB, ['-t', 'ext4']), image);
    expect((await extentOf(image, 'used')).skip.length).toBeGreaterThan(0);
  });
});

describe('used - file systems that cannot be trusted are copied whole', () => {
  test('a journal that needs recovery', async () => {
    const image = makeExt(join(folder, 'a.img'), tree, 64 * MIB, ['-t', 'ext4']);
    const mountPoint = join(folder, 'mount');
    const dirty = join(folder, 'dirty.img');
    mkdirSync(mountPoint);
    const loop = attachLoop(image);
    try {
      run('mount', [loop, mountPoint]);
      try {
        writeFileSync(join(mountPoint, 'late'), Buffer.alloc(5 * MIB, 1), { flush: true });
        run('cp', ['--sparse=always', image, dirty]);
      } finally {
        run('umount', [mountPoint]);
      }
    } finally {
      run('losetup', ['--detach', loop]);
    }
    const extent = await extentOf(dirty, 'used');
    expect(extent).toMatchObject({ endBytes: 64 * MIB, skip: [] });
    expect(extent.why).toBe('whole: ext4, but its journal needs recovery');
    expect((await extentOf(image, 'used')).skip.length).toBeGreaterThan(0);
  });

  test('not cleanly unmounted, errors noted, damaged bitmaps, contradicting counts', async () => {
    const states: readonly (readonly [string, RegExp])[] = [
      ['ssv state 0', /its state is "not clean"/],
      ['ssv state 3', /its state is "clean with errors"/],
      ['ssv error_count 4', /errors were noted|its state is/],
      ['set_bg 0 free_blocks_count 7', /contradict/],
    ];
    for (const [command, why] of states) {
      const image = makeExt(join(folder, 'a.img'), tree, 64 * MIB, ['-t', 'ext4', '-O', '^metadata_csum']);
      run('debugfs', ['-w', '-R', command, image]);
      const extent = await extentOf(image, 'used');
      expect(extent.skip, command).toEqual([]);
      expect(extent.why, command).toMatch(why);
    }
    const image = makeExt(join(folder, 'b.img'), tree, 64 * MIB, ['-t', 'ext4', '-b', '4096']);
    const bitmapAt = Number(/Block bitmap at (\d+)/.exec(run('dumpe2fs', [image]))?.[1]);
    place(makeRandom(join(folder, 'noise'), 4096), image, bitmapAt * 4096);
    expect(await extentOf(image, 'used')).toMatchObject({
      skip: [],
      why: expect.stringMatching(/bitmaps are damaged/),
    });
  });

  test('a truncated image', async () => {
    const image = makeExt(join(folder, 'a.img'), tree, 64 * MIB, ['-t', 'ext4']);
    truncateSync(image, 40 * MIB);
    expect(await extentOf(image, 'used')).toMatchObject({ endBytes: 40 * MIB, skip: [] });
    expect(await extentOf(image, 'image')).toMatchObject({ endBytes: 40 * MIB, skip: [] });
  });

  test('an ext4 that an LVM label was written over', async () => {
    const image = makeExt(join(folder, 'a.img'), tree, 64 * MIB, ['-t', 'ext4']);
    const label = Buffer.alloc(512);
    label.write('LABELONE', 0, 'latin1');
    label.writeBigUInt64LE(1n, 8);
    label.writeUInt32LE(32, 20);
    label.write('LVM2 001', 24, 'latin1');
    label.write('0123456789abcdef0123456789abcdef', 32, 'latin1');
    label.writeUInt32LE(lvmChecksum(label.subarray(20)), 16);
    writeFileSync(join(folder, 'label'), label);
    place(join(folder, 'label'), image, 512);
    for (const kind of ['used', 'image'] as const) {
      const extent = await extentOf(image, kind);
      expect(extent).toMatchObject({ endBytes: 64 * MIB, skip: [] });
      expect(extent.why).toMatch(/contradictory signatures|LVM2_member/);
    }
  });
});

describe('partition tables', () => {
  test('GPT with two ext4, swap and FAT', async () => {
    const image = makeFile(join(folder, 'disk.img'), 400 * MIB);
    run('sfdisk', ['-q', image], 'label: gpt\n,64M\n,100M\n,32M,S\n,40M,U\n');
    const starts = partitionStarts(image);
    const [a, b, swap, fat] = starts;
    if (!a || !b || !swap || !fat) throw new Error('four partitions');
    place(makeExt(join(folder, 'a'), tree, a.size, ['-t', 'ext4']), image, a.start);
    place(makeExt(join(folder, 'b'), tree, b.size, ['-t', 'ext4', '-b', '1024']), image, b.start);
    run('mkswap', ['-q', makeFile(join(folder, 'swap'), swap.size)]);
    place(join(folder, 'swap'), image, swap.start);
    run('mkfs.vfat', [makeFile(join(folder, 'fat'), fat.size)]);
    place(join(folder, 'fat'), image, fat.start);

    const end = fat.start + fat.size;
    const upTo = await extentOf(image, 'image');
    expect(upTo).toEqual({ endBytes: end, skip: [], why: 'GPT, 4 partitions, last ends at 237 MiB' });

    soil(image, (await extentOf(image, 'used')).skip);
    const used = await extentOf(image, 'used');
    expect(used.endBytes).toBe(400 * MIB);
    expect(used.why).toMatch(/^GPT, 4 partitions, 2 ext read: [0-9.]+ MiB of 400 MiB in use$/);
    expect(used.skip.at(-1)).toEqual({ offsetBytes: end, lengthBytes: 400 * MIB - 33 * 512 - end });
    for (const range of used.skip.slice(0, -1)) {
      expect(range.offsetBytes).toBeGreaterThanOrEqual(a.start);
      expect(range.offsetBytes + range.lengthBytes).toBeLessThanOrEqual(b.start + b.size);
    }
    proveExt(image, a.start, used);
    proveExt(image, b.start, used);
    const copy = join(folder, 'whole-copy.img');
    copyNeeded(image, copy, used.endBytes, used.skip);
    expect(run('sfdisk', ['--verify', copy])).toMatch(/No errors detected/);
    expect(run('sfdisk', ['--json', copy]).replaceAll(copy, image)).toBe(run('sfdisk', ['--json', image]));
    const others = fat.start + fat.size - swap.start;
    expect(readBytes(copy, swap.start, others).equals(readBytes(image, swap.start, others))).toBe(true);
    rmSync(copy);
  });

  test('MBR with a logical partition', async () => {
    const image = makeFile(join(folder, 'disk.img'), 200 * MIB);
    run('sfdisk', ['-q', image], 'label: dos\n1: start=2048,size=40M\n2: size=120M,type=5\n5: size=70M\n');
    const logical = partitionStarts(image)[2];
    if (!logical) throw new Error('three partitions');
    place(makeExt(join(folder, 'a'), tree, logical.size, ['-t', 'ext4']), image, logical.start);
    expect(await extentOf(image, 'image')).toEqual({
      endBytes: 161 * MIB,
      skip: [],
      why: 'MBR, 2 partitions, last ends at 161 MiB',
    });
    const used = await extentOf(image, 'used');
    expect(used.skip.length).toBeGreaterThan(0);
    proveExt(image, logical.start, used);
  });

  test('a loop device of the disk gives the same answer as its file', async () => {
    const image = makeFile(join(folder, 'disk.img'), 100 * MIB);
    run('sfdisk', ['-q', image], 'label: gpt\n,64M\n');
    const [first] = partitionStarts(image);
    if (!first) throw new Error('one partition');
    place(makeExt(join(folder, 'a'), tree, first.size, ['-t', 'ext4']), image, first.start);
    const loop = attachLoop(image, '--read-only');
    try {
      for (const kind of ['image', 'used'] as const) {
        expect(await extentOf(loop, kind)).toEqual(await extentOf(image, kind));
      }
    } finally {
      run('losetup', ['--detach', loop]);
    }
  });

  test('a damaged primary GPT is read from the backup, two damaged ones mean all', async () => {
    const image = makeFile(join(folder, 'disk.img'), 100 * MIB);
    run('sfdisk', ['-q', image], 'label: gpt\n,64M\n');
    place(makeRandom(join(folder, 'noise'), 512), image, 512);
    expect((await extentOf(image, 'image')).endBytes).toBe(65 * MIB);
    place(join(folder, 'noise'), image, 100 * MIB - 512);
    for (const kind of ['image', 'used'] as const) {
      const extent = await extentOf(image, kind);
      expect(extent).toMatchObject({ endBytes: 100 * MIB, skip: [] });
      expect(extent.why).toMatch(/protective MBR|damaged/);
    }
  });

  test('a truncated disk, overlapping partitions, no partitions', async () => {
    const image = makeFile(join(folder, 'disk.img'), 100 * MIB);
    run('sfdisk', ['-q', image], 'label: dos\n,40M\n,40M\n');
    truncateSync(image, 60 * MIB);
    expect(await extentOf(image, 'image')).toMatchObject({ endBytes: 60 * MIB, skip: [] });
    expect(await extentOf(image, 'used')).toMatchObject({ endBytes: 60 * MIB, skip: [] });
    makeFile(image, 100 * MIB);
    run('sfdisk', ['-q', image], 'label: dos\nstart=2048,size=40000\nstart=50000,size=40000\n');
    // The second entry of the table begins at byte 462; its start is 8 bytes further.
    const start = Buffer.alloc(4);
    start.writeUInt32LE(30000);
    writeFileSync(join(folder, 'start'), start);
    place(join(folder, 'start'), image, 470);
    expect((await extentOf(image, 'used')).why).toMatch(/overlap/);
    for (const label of ['dos', 'gpt']) {
      makeFile(image, 100 * MIB);
      run('sfdisk', ['-q', image], `label: ${label}\n`);
      expect(await extentOf(image, 'image')).toMatchObject({
        endBytes: 100 * MIB,
        why: expect.stringMatching(/^whole: /),
      });
    }
  });

  test('an MBR that counts in sectors of 4 KiB means all', async () => {
    const image = makeFile(join(folder, 'disk.img'), 300 * MIB);
    run('sfdisk', ['-q', image], 'label: dos\nstart=256,size=16384\n');
    place(makeExt(join(folder, 'a'), tree, 64 * MIB, ['-t', 'ext4']), image, MIB);
    const extent = await extentOf(image, 'image');
    expect(extent).toEqual({ endBytes: 300 * MIB, skip: [], why: 'whole: MBR of a disk with 4 KiB sectors' });
  });

  test('a GPT of 4 KiB sectors in a file means all, on a device of such sectors it is read', async () => {
    const image = makeFile(join(folder, 'disk.img'), 300 * MIB);
    const loop = attachLoop(image, '--sector-size', '4096');
    try {
      run('sfdisk', ['-q', loop], 'label: gpt\n,64M\n');
      expect((await extentOf(loop, 'image')).endBytes).toBe(65 * MIB);
    } finally {
      run('losetup', ['--detach', loop]);
    }
    expect((await extentOf(image, 'image')).endBytes).toBe(300 * MIB);
  });
});

/** LVM's own CRC-32: initial value 0xf597a6cf, no final inversion (lib/misc/crc.c). */
function lvmChecksum(bytes: Uint8Array): number {
  let crc = 0xf597a6cf;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return crc >>> 0;
}
