// Goal: each format through each transport gives the bytes that it holds, or is refused by name as docs/cli.md says. Method: one
// disk with a GPT and an ext4 in it, packed by the real tools; a file, a pipe, a server with ranges, one without, and https.
import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { requireTool } from '../../src/base/mod.ts';
import { randomBytesOf } from '../rig/content.ts';
import type { CopyProcess } from '../rig/copy-process.ts';
import { expectFailure, failureOf } from '../rig/failure.ts';
import { onStage, type Stage } from '../rig/stage.ts';
import { serveFolder } from '../support/image-web.ts';
import { androidSparse, SPARSE_BLOCK_BYTES, type SparseChunk } from '../support/packed-image.ts';
import { SourceBench } from '../support/source-bench.ts';

const KIB = 1024;
const DISK_KIB = 6 * KIB;

const bench = new SourceBench();
let disk: Buffer;
let http = '';
let https = '';

/** Runs a tool in the folder of the images; what it prints. */
function run(tool: string, debianPackage: string, ...args: readonly string[]): Buffer {
  return execFileSync(requireTool(tool, debianPackage), args, { cwd: bench.folder, maxBuffer: 1 << 26, stdio: 'pipe' });
}

beforeAll(async () => {
  mkdirSync(bench.path('files'));
  bench.write('files/data', randomBytesOf(5, 600 * KIB));
  bench.write('disk.img', Buffer.alloc(DISK_KIB * KIB));
  run('sgdisk', 'gdisk', '-o', '-n', '1:2048:+4M', '-c', '1:root', 'disk.img');
  run('mke2fs', 'e2fsprogs', '-q', '-F', '-t', 'ext4', '-d', 'files', '-E', 'offset=1048576', 'disk.img', '4096k');
  disk = bench.bytes('disk.img');
  bench.write('README.md', 'read me first\n'.repeat(100));
  http = (await serveFolder(bench, 'http')).url;
  https = (await serveFolder(bench, 'https')).url;
});
afterAll(() => bench.clear());

type Make = () => Buffer;

const compressed =
  (tool: string, debianPackage: string, file: string, ...args: readonly string[]): Make =>
  () =>
    run(tool, debianPackage, '-qc', ...args, file);

const zipped =
  (...args: readonly string[]): Make =>
  () => {
    run('rm', 'coreutils', '-f', 'made.zip');
    run('zip', 'zip', '-q', 'made.zip', ...args);
    return bench.bytes('made.zip');
  };

const archived =
  (...args: readonly string[]): Make =>
  () =>
    run('tar', 'tar', '-cf', '-', ...args);

const converted =
  (format: string, ...options: readonly string[]): Make =>
  () => {
    const args = options.length === 0 ? [] : ['-o', options.join(',')];
    run('qemu-img', 'qemu-utils', 'convert', '-f', 'raw', '-O', format, ...args, 'disk.img', `made.${format}`);
    return bench.bytes(`made.${format}`);
  };

/** With a name of its own, for what goes into another layer. */
const saved =
  (name: string, make: Make, then: Make): Make =>
  () => {
    bench.write(name, make());
    return then();
  };

/** Blocks of zeros are left out, as img2simg does. */
const sparse: Make = () => {
  const chunks: SparseChunk[] = [];
  const isZero = (at: number): boolean => disk.subarray(at, at + SPARSE_BLOCK_BYTES).every((byte) => byte === 0);
  for (let at = 0; at < disk.length; ) {
    const zero = isZero(at);
    let end = at;
    while (end < disk.length && isZero(end) === zero) end += SPARSE_BLOCK_BYTES;
    chunks.push(zero ? { skip: (end - at) / SPARSE_BLOCK_BYTES } : { raw: disk.subarray(at, end) });
    at = end;
  }
  return androidSparse(chunks);
};

/** By when it can be read: in any order of reading, at any offset only, or never. */
type Needs = 'nothing' | 'offsets' | 'too much';

const FORMATS: readonly (readonly [string, Needs, RegExp, Make])[] = [
  ['raw', 'nothing', /./, () => disk],
  ['gzip', 'nothing', /./, compressed('gzip', 'gzip', 'disk.img')],
  ['xz', 'nothing', /./, compressed('xz', 'xz-utils', 'disk.img')],
  ['xz in several blocks', 'nothing', /./, compressed('xz', 'xz-utils', 'disk.img', '--block-size=1MiB')],
  ['zstd', 'nothing', /./, compressed('zstd', 'zstd', 'disk.img')],
  ['bzip2', 'nothing', /./, compressed('bzip2', 'bzip2', 'disk.img')],
  ['lz4', 'nothing', /./, compressed('lz4', 'lz4', 'disk.img')],
  ['zip, stored', 'nothing', /./, zipped('-0', 'README.md', 'disk.img')],
  ['zip, deflated', 'nothing', /./, zipped('README.md', 'disk.img')],
  [
    'zip, deflated, sizes behind the members',
    'nothing',
    /./,
    () => run('zip', 'zip', '-q', '-fd', '-', 'disk.img', 'README.md'),
  ],
  ['zip, stored, sizes behind the members', 'offsets', /disk\.img, which is stored/, zipped('-0', '-fd', 'disk.img')],
  ['tar', 'nothing', /./, archived('README.md', 'disk.img')],
  ['tar.gz', 'nothing', /./, archived('-z', 'README.md', 'disk.img')],
  ['tar.xz', 'nothing', /./, archived('-J', 'disk.img', 'README.md')],
  [
    'zip with an img.xz',
    'nothing',
    /./,
    saved('disk.img.xz', compressed('xz', 'xz-utils', 'disk.img'), zipped('disk.img.xz')),
  ],
  ['Android sparse', 'nothing', /./, sparse],
  ['Android sparse in gzip', 'nothing', /./, saved('disk.simg', sparse, compressed('gzip', 'gzip', 'disk.simg'))],
  ['qcow2', 'offsets', /qcow2/, converted('qcow2')],
  ['vmdk', 'offsets', /vmdk/, converted('vmdk')],
  ['vmdk, stream-optimized', 'offsets', /vmdk/, converted('vmdk', 'subformat=streamOptimized')],
  ['vhdx', 'offsets', /vhdx/, converted('vhdx')],
  ['vdi', 'offsets', /vdi/, converted('vdi')],
  ['VHD, dynamic', 'offsets', /vpc/, converted('vpc', 'subformat=dynamic', 'force_size=on')],
  ['VHD, fixed', 'offsets', /vpc/, converted('vpc', 'subformat=fixed', 'force_size=on')],
  ['qcow2 in a tar', 'offsets', /qcow2/, saved('disk.qcow2', converted('qcow2'), archived('disk.qcow2', 'README.md'))],
  [
    'qcow2 in gzip',
    'too much',
    /qcow2/,
    saved('other.qcow2', converted('qcow2'), compressed('gzip', 'gzip', 'other.qcow2')),
  ],
];

interface Transport {
  readonly name: string;
  readonly offsets: boolean;
  /** What a refusal has to name. */
  readonly source: string;
  start(stage: Stage, target: string): CopyProcess;
}

function transportsOf(file: string): readonly Transport[] {
  const args = ['--block-size', '1M'];
  const from = (name: string, offsets: boolean, source: string, ...more: readonly string[]): Transport => ({
    name,
    offsets,
    source,
    start: (stage, target) => stage.copyJson(...args, ...more, source, target),
  });
  return [
    from('file', true, bench.path(file), '--verify'),
    {
      name: 'pipe',
      offsets: false,
      source: 'standard input',
      start(stage, target) {
        const copy = stage.copy(['--json', '--quiet', ...args, '-', target], { stdin: 'pipe' });
        // Whoever refuses does not wait for the end.
        copy.child.stdin?.on('error', () => undefined);
        copy.child.stdin?.end(bench.bytes(file));
        return copy;
      },
    },
    from('http with ranges', true, `${http}/${file}`),
    from('http without ranges', false, `${http}/whole/${file}`),
    from('https', true, `${https}/${file}`, '--cacert', bench.path('cert.pem')),
  ];
}

describe.each(FORMATS)('every format, every transport - %s', (format, needs, named, make) => {
  test('is copied as what it holds, or refused by name', () =>
    onStage(async (stage) => {
      stage.allow(disk);
      const file = `image-${FORMATS.findIndex(([name]) => name === format)}`;
      bench.write(file, make());
      await Promise.all(
        transportsOf(file).map(async ({ name, offsets, source, start }) => {
          const target = `${name.replaceAll(' ', '-')}.img`;
          const copy = start(stage, stage.target(target));
          if (needs === 'nothing' || (needs === 'offsets' && offsets)) {
            await copy.good();
            expect([name, stage.difference(target, disk)]).toEqual([name, null]);
            return;
          }
          await expectFailure(copy, 'FORMAT_UNKNOWN', named);
          expect([name, (await failureOf(copy)).message]).toEqual([name, expect.stringContaining(source)]);
          expect(stage.targets).not.toContain(target);
        }),
      );
    }));
});
