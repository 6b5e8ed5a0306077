// One invocation, one or several targets: what arrives, what is printed, with which status it ends.
import { existsSync, statSync, writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { runTool } from '../../src/base/mod.ts';
import { patchwork, randomBytesOf, writeSparse } from '../rig/content.ts';
import { CLI, onStage } from '../rig/stage.ts';
import { diskBytes } from '../support/packed-image.ts';

const KIB = 1024;
const MIB = 1024 * KIB;

test('copy - one target gets the whole image, and the ring is gone', () =>
  onStage(async (stage) => {
    const image = stage.image('golden.img', 24 * MIB + 12_345);
    const copy = stage.copyJson(image.path, stage.target('a.img'));
    const result = await copy.result();
    expect((await copy.ended).status).toBe(0);
    expect(stage.difference('a.img', image.content)).toBe(null);
    expect(stage.targets).toEqual(['a.img']);
    expect(result.producer).toEqual({ bytesRead: image.content.length, sweeps: 1 });
  }));

test('copy - the JSON has exactly the documented shape', () =>
  onStage(async (stage) => {
    const image = stage.write('golden.img', diskBytes(3 * MIB + 512));
    const copy = stage.copyJson('--block-size', '1M', image.path, stage.target('a.img'));
    const { dev, ino } = statSync(image.path);
    const result = await copy.result();
    expect(copy.stdout.trimEnd().split('\n')).toHaveLength(1);
    expect(copy.stderr).toBe('');
    expect(result).toEqual({
      ok: true,
      error: null,
      source: { uri: image.path, bytes: 3 * MIB + 512, blockSize: MIB, id: `file:${dev}:${ino}+raw`, warnings: [] },
      producer: { bytesRead: 3 * MIB + 512, sweeps: 1 },
      targets: [
        {
          uri: stage.target('a.img'),
          ok: true,
          startBlock: 0,
          bytesCopied: 3 * MIB + 512,
          bytesZeroed: 0,
          bytesReused: 0,
          seconds: expect.any(Number),
          verified: false,
          digest: null,
          unreadable: [],
          resumable: false,
          notes: [],
          gpt: null,
          kernelPartitions: null,
          error: null,
        },
      ],
    });
  }));

test('copy - two targets of one invocation cost one read of the source', () =>
  onStage(async (stage) => {
    const image = stage.image('golden.img', 32 * MIB);
    const copy = stage.copyJson(
      '--buffer',
      '256K',
      '--block-size',
      '64K',
      image.path,
      stage.target('a'),
      stage.target('b'),
    );
    const result = await copy.result();
    expect(result.ok).toBe(true);
    expect(result.producer).toEqual({ bytesRead: 32 * MIB, sweeps: 1 });
    expect(result.targets.map((target) => target.startBlock)).toEqual([0, 0]);
    expect([stage.difference('a', image.content), stage.difference('b', image.content)]).toEqual([null, null]);
  }));

test.each([
  ['a byte', 1],
  ['one sector less than a block', 64 * KIB - 512],
  ['one block', 64 * KIB],
  ['one byte more than a block', 64 * KIB + 1],
  ['fewer blocks than the ring has slots', 3 * 64 * KIB],
  ['neither blocks nor sectors', 10 * 64 * KIB + 777],
])('copy - an image of %s arrives whole', (_name, sizeBytes) =>
  onStage(async (stage) => {
    const image = stage.image('golden.img', sizeBytes);
    await stage.copyJson('--block-size', '64K', '--verify', image.path, stage.target('a.img')).good();
    expect(stage.difference('a.img', image.content)).toBe(null);
  }),
);

test('copy - a sparse source gives a sparse target, and the zeros are counted', () =>
  onStage(async (stage) => {
    const content = stage.allow(patchwork(5, MIB, `#${'.'.repeat(20)}##..#........`));
    writeSparse(stage.path('golden.img'), content, MIB);
    const copy = stage.copyJson('--block-size', '1M', stage.path('golden.img'), stage.target('a.img'));
    const target = await copy.good();
    expect(stage.difference('a.img', content)).toBe(null);
    expect(target.bytesCopied).toBe(4 * MIB);
    expect(target.bytesZeroed).toBe(30 * MIB);
    expect((await copy.result()).producer.bytesRead).toBe(4 * MIB);
    expect(statSync(stage.target('a.img')).blocks * 512).toBeLessThan(6 * MIB);
  }));

test('copy - zeros that the source does have on disk become holes of the target', () =>
  onStage(async (stage) => {
    const image = stage.write('golden.img', patchwork(6, MIB, '#......#'));
    await stage.copyJson('--block-size', '1M', image.path, stage.target('a.img')).good();
    expect(stage.difference('a.img', image.content)).toBe(null);
    expect(statSync(stage.target('a.img')).blocks * 512).toBeLessThan(4 * MIB);
  }));

test('copy --bytes - only the first bytes are read and written', () =>
  onStage(async (stage) => {
    const image = stage.image('golden.img', 8 * MIB);
    const wanted = 3 * 64 * KIB + 100;
    const first = stage.allow(image.content.subarray(0, wanted));
    const copy = stage.copyJson('--block-size', '64K', '--bytes', String(wanted), image.path, stage.target('a.img'));
    const target = await copy.good();
    expect(statSync(stage.target('a.img')).size).toBe(wanted);
    expect(stage.difference('a.img', first)).toBe(null);
    expect(target.bytesCopied).toBe(wanted);
    expect((await copy.result()).producer.bytesRead).toBe(4 * 64 * KIB);
  }));

test('copy - one target that fails does not fail the other; the status is that of the failure', () =>
  onStage(async (stage) => {
    const image = stage.image('golden.img', 4 * MIB);
    const copy = stage.copyJson(image.path, stage.target('a.img'), stage.target('missing/b.img'));
    const result = await copy.result();
    expect((await copy.ended).status).toBe(4);
    expect(result.ok).toBe(false);
    expect(result.targets.map((target) => target.error?.code ?? null)).toEqual([null, 'TARGET_NOT_FOUND']);
    expect(stage.difference('a.img', image.content)).toBe(null);
    expect(stage.targets).toEqual(['a.img']);
  }));

test('copy - off a terminal progress is a line now and then, and the end is said', () =>
  onStage(async (stage) => {
    const image = stage.image('golden.img', 6 * MIB);
    const copy = stage.copy(['--limit', '1M', '--block-size', '64K', image.path, stage.target('a.img')]);
    await copy.says(/a\.img {2}\[#+\.*\] +\d+ % {2}.*left {2}copying\n/);
    expect((await copy.ended).status).toBe(0);
    expect(copy.stderr).not.toContain('\u001b');
    expect(copy.stderr).toMatch(/a\.img: 6\.00 MiB copied in \d/);
    expect(copy.stdout).toBe('');
  }));

test('copy --quiet - no progress, and the end is said all the same', () =>
  onStage(async (stage) => {
    const image = stage.write('golden.img', diskBytes(2 * MIB));
    const copy = stage.copy(['--quiet', image.path, stage.target('a.img')]);
    expect((await copy.ended).status).toBe(0);
    expect(copy.stderr.trim().split('\n')).toHaveLength(1);
  }));

test('copy - an existing file is refused without --yes, and replaced with it', () =>
  onStage(async (stage) => {
    const image = stage.image('golden.img', 2 * MIB);
    const old = stage.allow(randomBytesOf(9, 1000));
    writeFileSync(stage.target('a.img'), old);
    const refused = stage.copyJson(image.path, stage.target('a.img'));
    expect((await refused.ended).status).toBe(4);
    expect((await refused.result()).targets[0]?.error?.code).toBe('TARGET_NOT_CONFIRMED');
    expect(stage.difference('a.img', old)).toBe(null);
    expect(stage.targets).toEqual(['a.img']);
    await stage.copyJson('--yes', image.path, stage.target('a.img')).good();
    expect(stage.difference('a.img', image.content)).toBe(null);
  }));

test('copy - whoever reads the output may leave early: the copy is made, and nothing breaks', () =>
  onStage(async (stage) => {
    const image = stage.image('golden.img', 4 * MIB);
    const target = stage.target('a.img');
    // The reader has gone before there is anything to read.
    const script = '{ "$@"; echo "status $?" >&2; } | (exec <&-)';
    const args = ['-c', script, 'sh', process.execPath, CLI, 'copy', '--json', image.path, target];
    const done = await runTool('/bin/sh', args, { env: stage.env });
    expect(done.stderr).toMatch(/^[^{]*status 0\n$/);
    expect(done.stderr).not.toContain('EPIPE');
    expect(stage.difference('a.img', image.content)).toBe(null);
  }));

test('copy - help ends with status 0, every mistake of usage with 2', () =>
  onStage(async (stage) => {
    const help = stage.copy(['--help']);
    expect((await help.ended).status).toBe(0);
    expect(help.stdout).toContain('understudy copy golden.img /dev/sdb');
    const usages = [
      [],
      ['golden.img'],
      ['--block-size', '5000', 'a', 'b'],
      ['--block-size', 'many', 'a', 'b'],
      ['--buffer', '64K', 'a', 'b'],
      ['--expect', 'md5:1234', 'a', 'b'],
      ['--extent', 'half', 'a', 'b'],
      ['a', 'b', 'b'],
      ['--no-such-option', 'a', 'b'],
      ['--digest', 'sha256', '--extent', 'used', 'a', 'b'],
      ['ftp://somewhere/a', 'b'],
    ];
    for (const args of usages) {
      const copy = stage.copy(args, { cwd: stage.out });
      expect([args, (await copy.ended).status]).toEqual([args, 2]);
      expect(copy.stderr).not.toContain('defect');
    }
    expect(existsSync(stage.target('b'))).toBe(false);
  }));
