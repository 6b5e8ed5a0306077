// Every way to pack an image, through the whole program, from a file and from a pipe: what arrives on the target is the
// image.
import { execFileSync } from 'node:child_process';
import { openSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { randomBytesOf } from '../rig/content.ts';
import { expectFailure } from '../rig/failure.ts';
import { onStage, type Stage } from '../rig/stage.ts';
import { androidSparse, diskBytes, SPARSE_BLOCK_BYTES } from '../support/packed-image.ts';

const MIB = 1024 * 1024;
const DISK_BYTES = 2 * MIB + 512 * 8;
const README = Buffer.from('read me first\n'.repeat(100));

/** Runs a tool in the folder of the stage; what it prints. */
function run(stage: Stage, tool: string, args: readonly string[], input?: Buffer): Buffer {
  const options = { cwd: stage.folder, maxBuffer: 1 << 26, stdio: 'pipe' as const };
  return execFileSync(tool, [...args], input === undefined ? options : { ...options, input });
}

/** The disk, a file beside it, and the disk in a folder with what macOS adds. */
function material(stage: Stage): Buffer {
  const disk = stage.write('disk.img', diskBytes(DISK_BYTES)).content;
  stage.write('README.md', README);
  run(stage, 'mkdir', ['-p', 'release/__MACOSX']);
  run(stage, 'cp', ['disk.img', 'release/disk.img']);
  run(stage, 'cp', ['disk.img', 'release/__MACOSX/._disk.img']);
  run(stage, 'ln', ['-s', 'disk.img', 'release/link.img']);
  return disk;
}

type Make = (stage: Stage, disk: Buffer) => Buffer;

const compressed =
  (tool: string, ...args: string[]): Make =>
  (stage, disk) =>
    run(stage, tool, [...args, '-qc'], disk);
const archived =
  (...args: string[]): Make =>
  (stage) =>
    run(stage, 'tar', ['-cf', '-', ...args]);
/** `zip` of files, also of some that have to be made before. */
const zipped =
  (...args: string[]): Make =>
  (stage) => {
    run(stage, 'zip', ['-q', 'made.zip', ...args]);
    return run(stage, 'cat', ['made.zip']);
  };
const within =
  (tool: string, make: Make): Make =>
  (stage, disk) =>
    run(stage, tool, ['-qc'], make(stage, disk));
const sparse: Make = (_, disk) => {
  const cut = 100 * SPARSE_BLOCK_BYTES;
  return androidSparse([{ raw: disk.subarray(0, cut) }, { raw: disk.subarray(cut) }]);
};
const saved =
  (name: string, make: Make, then: Make): Make =>
  (stage, disk) => {
    stage.write(name, make(stage, disk));
    return then(stage, disk);
  };
/** What a user can have, and that it can be read from a pipe. */
const PACKED: readonly (readonly [string, Make])[] = [
  ['raw', (_, disk) => disk],
  ['gzip', compressed('gzip')],
  ['xz', compressed('xz')],
  ['xz in several blocks', compressed('xz', '--block-size=300KiB')],
  ['zstd', compressed('zstd')],
  ['bzip2', compressed('bzip2')],
  ['lz4', compressed('lz4')],
  ['lz4, the legacy frame', compressed('lz4', '-l')],
  [
    'lz4 behind a skippable frame',
    (stage, disk) =>
      Buffer.concat([Buffer.from([0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3]), compressed('lz4')(stage, disk)]),
  ],
  ['gzip in gzip', within('gzip', compressed('gzip'))],
  ['tar', archived('README.md', 'disk.img')],
  ['tar with the image first', archived('disk.img', 'README.md')],
  ['tar of pax, long names', archived('--format=pax', `--transform=s,^release,${'long/'.repeat(60)},`, 'release')],
  ['tar of GNU, long names', archived('--format=gnu', `--transform=s,^release,${'long/'.repeat(60)},`, 'release')],
  ['tar of old', archived('--format=v7', 'disk.img')],
  ['tar in gzip', within('gzip', archived('README.md', 'release'))],
  ['tar in xz', within('xz', archived('disk.img', 'README.md'))],
  ['tar in lz4', within('lz4', archived('disk.img'))],
  ['an xz in a tar', saved('disk.img.xz', compressed('xz'), archived('README.md', 'disk.img.xz'))],
  ['a gzip in a tar in zstd', within('zstd', saved('disk.img.gz', compressed('gzip'), archived('disk.img.gz')))],
  ['zip', zipped('README.md', 'disk.img')],
  ['zip, stored', zipped('-0', 'disk.img', 'README.md')],
  ['zip, zip64', zipped('-fz', 'disk.img')],
  ['zip with folders and what macOS adds', zipped('-r', 'release/disk.img', 'release/__MACOSX', 'README.md')],
  ['zip, sizes behind the member', (stage, disk) => run(stage, 'zip', ['-q', '-', '-'], disk)],
  ['an xz in a zip', saved('disk.img.xz', compressed('xz'), zipped('README.md', 'disk.img.xz'))],
  ['Android sparse', sparse],
  ['Android sparse in gzip', within('gzip', sparse)],
  ['Android sparse in a zip', saved('disk.simg', sparse, zipped('disk.simg'))],
];

describe.each(PACKED)('formats - %s', (_, make) => {
  test('is copied as the image that it holds, from a file and from a pipe', () =>
    onStage(async (stage) => {
      const disk = material(stage);
      stage.write('packed', make(stage, disk));
      await stage.copyJson('--verify', '--block-size', '1M', stage.path('packed'), stage.target('a.img')).good();
      expect(stage.difference('a.img', disk)).toBe(null);
      const piped = stage.copy(['--json', '--quiet', '--block-size', '1M', '-', stage.target('b.img')], {
        stdin: 'pipe',
      });
      piped.child.stdin?.end(run(stage, 'cat', ['packed']));
      await piped.good();
      expect(stage.difference('b.img', disk)).toBe(null);
    }));
});

test.each(['fixed', 'dynamic'])(
  'formats - a VHD of the kind %s has neither more nor fewer bytes than it says',
  (kind) =>
    onStage(async (stage) => {
      // 17 MiB and some sectors: no geometry has that size.
      const disk = stage.write('disk.img', diskBytes(17 * MIB + 512 * 7)).content;
      const options = ['-o', `subformat=${kind},force_size=on`];
      run(stage, 'qemu-img', ['convert', '-f', 'raw', '-O', 'vpc', ...options, 'disk.img', 'disk.vhd']);
      await stage.copyJson('--verify', stage.path('disk.vhd'), stage.target('a.img')).good();
      expect(stage.difference('a.img', disk)).toBe(null);
      await stage.copyJson('--format', 'vpc', stage.path('disk.vhd'), stage.target('b.img')).good();
      expect(stage.difference('b.img', disk)).toBe(null);
    }),
);

test('formats - holes and repeated words of an Android sparse image are written out', () =>
  onStage(async (stage) => {
    const disk = diskBytes(8 * SPARSE_BLOCK_BYTES);
    const words = Buffer.alloc(3 * SPARSE_BLOCK_BYTES, Buffer.from([0xef, 0xbe, 0xad, 0xde]));
    const content = stage.allow(Buffer.concat([disk, words, Buffer.alloc(300 * SPARSE_BLOCK_BYTES), disk]));
    const chunks = [{ raw: disk }, { fill: 0xdeadbeef, blocks: 3 }, { skip: 300 }, { raw: disk }];
    stage.write('disk.simg', androidSparse(chunks));
    const target = await stage.copyJson('--verify', stage.path('disk.simg'), stage.target('a.img')).good();
    expect(target.bytesCopied + target.bytesZeroed).toBe(content.length);
    expect(stage.difference('a.img', content)).toBe(null);
  }));

test('formats - an image in a tar that QEMU reads is read where it lies', () =>
  onStage(async (stage) => {
    const disk = material(stage);
    run(stage, 'qemu-img', ['convert', '-f', 'raw', '-O', 'qcow2', 'disk.img', 'disk.qcow2']);
    run(stage, 'tar', ['-cf', 'packed.tar', 'README.md', 'disk.qcow2']);
    await stage.copyJson('--verify', stage.path('packed.tar'), stage.target('a.img')).good();
    expect(stage.difference('a.img', disk)).toBe(null);
  }));

test('formats - a late joiner has the front of an image in an archive read again', () =>
  onStage(async (stage) => {
    const disk = stage.write('disk.img', diskBytes(24 * MIB)).content;
    run(stage, 'tar', ['-czf', 'packed.tar.gz', 'disk.img']);
    const args = ['--block-size', '1M', '--buffer', '4M', stage.path('packed.tar.gz')];
    const first = stage.copyJson('--limit', '8M', '--on-slow', 'pace', ...args, stage.target('a.img'));
    await stage.sees('the first copy beyond its ring', ({ position }) => position > 8);
    const late = stage.copyJson(...args, stage.target('b.img'));
    await Promise.all([first.good(), late.good()]);
    for (const name of ['a.img', 'b.img']) expect(stage.difference(name, disk)).toBe(null);
  }));

test('formats - what standard input redirects from a file is read like the file', () =>
  onStage(async (stage) => {
    const disk = material(stage);
    run(stage, 'tar', ['-cf', 'packed.tar', 'disk.img']);
    const fd = openSync(stage.path('packed.tar'), 'r');
    const copy = stage.copy(['--json', '--quiet', '-', stage.target('a.img')], { stdin: fd });
    await copy.good();
    expect(stage.difference('a.img', disk)).toBe(null);
  }));

/** A tar archive of so many small files, each compressed with a tool, and the disk in the middle. */
function crowded(stage: Stage, tool: string, files: number): Buffer {
  run(stage, 'mkdir', ['crowd']);
  // Not too small to be a disk.
  const small = run(stage, tool, ['-c'], randomBytesOf(3, 2048));
  for (let index = 0; index < files; index++) stage.write(`crowd/${index}`, small);
  const names = Array.from({ length: files }, (_, index) => `crowd/${index}`);
  const half = files >> 1;
  return run(stage, 'tar', ['-cf', '-', ...names.slice(0, half), 'disk.img', ...names.slice(half)]);
}

// Programs are counted by a decompressor of ours in front of the real one.
test.each<[number, string, number]>([
  [400, 'gzip', 0],
  [60, 'xz', 60],
])('formats - an archive with %i files compressed by %s starts %i programs to look into them', (files, tool, most) =>
  onStage(async (stage) => {
    const disk = material(stage);
    stage.write('packed', crowded(stage, tool, files));
    const counted = stage.path('counted');
    run(stage, 'mkdir', ['bin']);
    stage.write(`bin/${tool}`, Buffer.from(`#!/bin/sh\necho >>'${counted}'\nPATH=/usr/bin:/bin exec ${tool} "$@"\n`));
    run(stage, 'chmod', ['0755', `bin/${tool}`]);
    stage.write('counted', Buffer.from(''));
    const env = { PATH: `${stage.path('bin')}:${process.env.PATH}` };
    await stage.copy(['--json', stage.path('packed'), stage.target('a')], { env }).good();
    expect(stage.difference('a', disk)).toBe(null);
    expect(run(stage, 'cat', ['counted']).length).toBe(most);
  }),
);

test('formats - an archive with too many compressed files to look into is refused by name, from a file and from a pipe', () =>
  onStage(async (stage) => {
    material(stage);
    stage.write('packed', crowded(stage, 'xz', 300));
    const words = /tar archive that is not searched to its end: any of its more than 256 compressed members/;
    await expectFailure(stage.copyJson(stage.path('packed'), stage.target('a')), 'FORMAT_UNKNOWN', words);
    const wrap = ['sh', '-c', `cat '${stage.path('packed')}' | "$@"`, 'sh'];
    await expectFailure(stage.copy(['--json', '-', stage.target('b')], { wrap }), 'FORMAT_UNKNOWN', words);
    expect(stage.targets).toEqual([]);
  }));

test('formats - a second image in a gzip file far behind the first one is found', () =>
  onStage(async (stage) => {
    material(stage);
    run(stage, 'gzip', ['-k', 'disk.img']);
    const args = ['-cf', 'packed', 'disk.img', 'README.md', 'disk.img.gz'];
    run(stage, 'tar', args);
    const words = /more than one image, disk\.img and disk\.img\.gz/;
    await expectFailure(stage.copyJson(stage.path('packed'), stage.target('a')), 'FORMAT_UNKNOWN', words);
  }));
