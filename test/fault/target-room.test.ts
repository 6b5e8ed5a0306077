// Room: what will be written is compared with what there is before anything is written; what runs out all the same is told in
// the system's own words.
import { execFileSync } from 'node:child_process';
import {
  closeSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  statfsSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { patchwork, randomBytesOf, writeSparse } from '../rig/content.ts';
import { expectFailure } from '../rig/failure.ts';
import { onStage, type Stage } from '../rig/stage.ts';

const MIB = 1024 * 1024;
const GIB = 1024 * MIB;
const SHAPE = ['--block-size', '64K', '--buffer', '512K'];

/** A file system of its own: a tmpfs, or ext4 behind a loop device. */
function fileSystem(stage: Stage, kind: 'tmpfs' | 'ext4', sizeBytes: number): string {
  const folder = stage.path(`mount-${kind}`);
  mkdirSync(folder);
  if (kind === 'tmpfs') stage.tool('mount', 'mount', ['-t', 'tmpfs', '-o', `size=${sizeBytes}`, 'none', folder]);
  else {
    writeFileSync(stage.path('volume'), Buffer.alloc(sizeBytes));
    stage.tool('mke2fs', 'e2fsprogs', ['-q', '-F', '-t', 'ext4', '-m', '0', stage.path('volume')]);
    stage.tool('mount', 'mount', [stage.loop(stage.path('volume')), folder]);
  }
  stage.defer(() => {
    stage.tool('umount', 'mount', [folder]);
  });
  return folder;
}

function imagesIn(folder: string): string[] {
  return readdirSync(folder).filter((name) => name !== 'lost+found' && name !== 'ballast');
}

function freeBytes(folder: string): number {
  const { bfree, bsize } = statfsSync(folder);
  return bfree * bsize;
}

/** Leaves so much room. */
function fill(folder: string, leaveBytes: number): void {
  writeFileSync(join(folder, 'ballast'), randomBytesOf(9, freeBytes(folder) - leaveBytes));
}

/** 500 GiB of which 1 MiB is data, at both ends. */
function hugeSparse(path: string): void {
  const fd = openSync(path, 'w');
  try {
    writeSync(fd, randomBytesOf(5, MIB / 2), 0, MIB / 2, 0);
    writeSync(fd, randomBytesOf(6, MIB / 2), 0, MIB / 2, 500 * GIB - MIB / 2);
    ftruncateSync(fd, 500 * GIB);
  } finally {
    closeSync(fd);
  }
}

test.each(['raw', 'qcow2'])('room - a huge %s with little data goes to a small file system', (format) =>
  onStage(async (stage) => {
    const folder = fileSystem(stage, 'ext4', 64 * MIB);
    const source = stage.path('huge.img');
    if (format === 'raw') hugeSparse(source);
    else {
      stage.tool('qemu-img', 'qemu-utils', ['create', '-q', '-f', 'qcow2', source, '500G']);
      stage.tool('qemu-io', 'qemu-utils', ['-c', 'write -P 7 300G 1M', source]);
    }
    const target = join(folder, 'copy.img');
    await stage.copyJson(source, target).good();
    expect(statSync(target).size).toBe(500 * GIB);
    expect(statSync(target).blocks * 512).toBeLessThan(32 * MIB);
    stage.tool('qemu-img', 'qemu-utils', [
      'compare',
      '-F',
      'raw',
      ...(format === 'raw' ? ['-f', 'raw'] : []),
      source,
      target,
    ]);
  }),
);

test.each(['tmpfs', 'ext4'] as const)(
  'room - of four files on a %s the ones that fit are copied, the others refused',
  (kind) =>
    onStage(async (stage) => {
      const image = stage.image('golden.img', 16 * MIB);
      const folder = fileSystem(stage, kind, 96 * MIB);
      fill(folder, 50 * MIB);
      const targets = ['a', 'b', 'c', 'd'].map((name) => join(folder, name));
      const result = await stage.copyJson(...SHAPE, '--verify', image.path, ...targets).result();
      const refused = result.targets.filter(({ ok }) => !ok);
      expect(refused).toHaveLength(1);
      expect(refused[0]).toMatchObject({ bytesCopied: 0, resumable: false, error: { code: 'TARGET_FULL' } });
      expect(refused[0]?.error?.message).toMatch(/16777216 bytes .* of other copies/);
      expect(imagesIn(folder)).toHaveLength(3);
      for (const { uri } of result.targets.filter(({ ok }) => ok))
        expect(stage.difference(uri, image.content)).toBe(null);
    }),
);

test('room - a copy counts what others, started before, have still to write', () =>
  onStage(async (stage) => {
    const [one, two] = [stage.image('one.img', 16 * MIB, 1), stage.image('two.img', 16 * MIB, 2)];
    const folder = fileSystem(stage, 'ext4', 64 * MIB);
    fill(folder, 24 * MIB);
    const first = stage.copyJson(...SHAPE, '--limit', '4M', one.path, join(folder, 'a'));
    await stage.sees('blocks', ({ consumers }) => (consumers[0]?.blocksLeft ?? 256) < 250);
    await expectFailure(stage.copyJson(...SHAPE, two.path, join(folder, 'b')), 'TARGET_FULL', /of other copies/);
    expect(imagesIn(folder)).not.toContain('b.partial');
    await first.good();
    expect(stage.difference(join(folder, 'a'), one.content)).toBe(null);
  }));

test('room - what a resumed copy has written already needs no room again', () =>
  onStage(async (stage) => {
    const image = stage.image('golden.img', 16 * MIB);
    const folder = fileSystem(stage, 'ext4', 64 * MIB);
    fill(folder, 20 * MIB);
    const copy = stage.copyJson(...SHAPE, '--limit', '8M', image.path, join(folder, 'a'));
    await stage.sees('half of it', ({ consumers }) => (consumers[0]?.blocksLeft ?? 256) < 128);
    copy.signal('SIGINT');
    expect((await copy.result()).targets[0]).toMatchObject({ resumable: true });
    const resumed = await stage.copyJson('--resume', ...SHAPE, image.path, join(folder, 'a')).good();
    expect(resumed.bytesReused).toBeGreaterThan(4 * MIB);
    expect(stage.difference(join(folder, 'a'), image.content)).toBe(null);
  }));

test('room - a device that rests on a full file system: the error of the system, and what is there can be gone on with', () =>
  onStage(async (stage) => {
    const image = stage.image('golden.img', 32 * MIB);
    const folder = fileSystem(stage, 'ext4', 64 * MIB);
    fill(folder, 16 * MIB);
    execFileSync('truncate', ['-s', '64M', join(folder, 'thin')]);
    const device = stage.loop(join(folder, 'thin'));
    const copy = stage.copyJson(...SHAPE, image.path, device);
    await expectFailure(copy, 'TARGET_FULL', /ENOSPC \(no space left on device\)/);
    expect((await copy.result()).targets[0]?.error?.message).not.toContain('the device ends there');
    stage.tool('rm', 'coreutils', [join(folder, 'ballast')]);
    await stage.copyJson('--resume', '--yes', ...SHAPE, image.path, device).good();
    expect(stage.difference(device, image.content)).toBe(null);
  }));

test('room - a limit on the size of files: of the process, and of the file system', () =>
  onStage(async (stage) => {
    const image = stage.image('golden.img', 16 * MIB);
    const limited = { wrap: ['prlimit', `--fsize=${8 * MIB}`, '--'] };
    const file = stage.copy(['--json', '--quiet', ...SHAPE, image.path, stage.target('a')], limited);
    await expectFailure(file, 'TARGET_FULL', /EFBIG .*ulimit -f/);
    // Of a stream the size is not known; the limit is met on the way.
    const stream = stage.copy(['--json', '--quiet', ...SHAPE, '-', stage.target('a')], { ...limited, stdin: 'pipe' });
    stream.child.stdin?.on('error', () => undefined);
    stream.child.stdin?.end(image.content);
    await expectFailure(stream, 'TARGET_FULL', /EFBIG .*ulimit -f/);
    const ring = stage.copy(['--json', '--quiet', image.path, stage.target('a')], limited);
    await expectFailure(ring, 'RING_MEMORY', /ulimit -f/);
    stage.tool('rm', 'coreutils', ['-f', stage.target('a.partial'), stage.target('a.partial.resume')]);
    expect(stage.targets).toEqual([]);
  }));

test('room - zeros of the image that are holes take none', () =>
  onStage(async (stage) => {
    const content = stage.allow(patchwork(32, MIB, `#${'.'.repeat(30)}#`));
    writeSparse(stage.path('sparse.img'), content, MIB);
    const folder = fileSystem(stage, 'tmpfs', 8 * MIB);
    await stage.copyJson(...SHAPE, stage.path('sparse.img'), join(folder, 'a')).good();
    expect(stage.difference(join(folder, 'a'), content)).toBe(null);
  }));
