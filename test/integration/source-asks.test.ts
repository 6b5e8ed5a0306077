// A source that shows neither a partition table nor a file system is copied over nothing without a question, and
// without --yes.
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { randomBytesOf } from '../rig/content.ts';
import { expectFailure } from '../rig/failure.ts';
import { onStage, type Stage } from '../rig/stage.ts';
import { Terminal } from '../rig/terminal.ts';
import { eventually } from '../rig/wait.ts';
import { diskBytes } from '../support/packed-image.ts';

const MIB = 1024 * 1024;
const DOUBT =
  /shows neither a partition table nor a file system; its first bytes are ([0-9a-f]{2} ){15}[0-9a-f]{2}; nothing was written/;

function blankDevice(stage: Stage): string {
  stage.write('disk', Buffer.alloc(4 * MIB));
  return stage.loop(stage.path('disk'));
}

/** Bytes that show nothing, raw and through each way in which a producer finds that out. */
const SOURCES: readonly (readonly [string, (stage: Stage) => string | Promise<string>])[] = [
  ['a file', (stage) => stage.write('golden', randomBytesOf(1, 2 * MIB)).path],
  [
    'a file in gzip',
    (stage) => {
      stage.write('golden', randomBytesOf(1, 2 * MIB));
      stage.tool('gzip', 'gzip', [stage.path('golden')]);
      return stage.path('golden.gz');
    },
  ],
  [
    'a qcow2',
    (stage) => {
      const { path } = stage.write('golden', randomBytesOf(1, 2 * MIB));
      stage.tool('qemu-img', 'qemu-utils', ['convert', '-O', 'qcow2', path, stage.path('golden.qcow2')]);
      return stage.path('golden.qcow2');
    },
  ],
  [
    'an NBD export',
    async (stage) => {
      const server = await stage.nbdkit({
        plugin: ['file', 'FOLDER/disk'],
        files: { disk: randomBytesOf(1, 2 * MIB) },
      });
      return server.uri;
    },
  ],
  [
    'standard input',
    (stage) => {
      stage.write('golden', randomBytesOf(1, 2 * MIB));
      return '-';
    },
  ],
];

test.each(SOURCES)('doubt - %s that shows nothing is not copied to a device without --yes', (_, make) =>
  onStage(async (stage) => {
    const source = await make(stage);
    const device = blankDevice(stage);
    const run = (...args: string[]) => {
      const process = stage.copy(['--json', '--quiet', ...args, source, device], {
        stdin: source === '-' ? 'pipe' : 'ignore',
      });
      process.child.stdin?.on('error', () => process.child.stdin?.destroy());
      if (source === '-') process.child.stdin?.end(readFileSync(stage.path('golden')));
      return process;
    };
    await expectFailure(run(), 'TARGET_NOT_CONFIRMED', DOUBT);
    expect(stage.difference(device, Buffer.alloc(4 * MIB))).toBe(null);
    await run('--yes').good();
    expect(stage.difference(device, randomBytesOf(1, 2 * MIB))).toBe(null);
  }),
);

test('doubt - a source with a partition table or a file system needs no question', () =>
  onStage(async (stage) => {
    const device = blankDevice(stage);
    const image = stage.write('golden.img', diskBytes(2 * MIB));
    await stage.copyJson(image.path, device).good();
    expect(stage.difference(device, image.content)).toBe(null);
    stage.write('ext', Buffer.alloc(4 * MIB));
    stage.tool('mke2fs', 'e2fsprogs', ['-q', '-F', '-t', 'ext4', stage.path('ext')]);
    stage.tool('dd', 'coreutils', ['if=/dev/zero', `of=${device}`, 'bs=1M', 'count=4', 'status=none']);
    await stage.copyJson(stage.path('ext'), device).good();
  }));

test('doubt - a new file is written, and the user is told', () =>
  onStage(async (stage) => {
    const image = stage.write('golden.img', randomBytesOf(1, 2 * MIB));
    const run = stage.copy(['--quiet', image.path, stage.target('a.img')]);
    expect((await run.ended).status).toBe(0);
    expect(run.stderr).toMatch(/^understudy: warning: .*golden.img: shows neither a partition table nor a file system/);
  }));

test('doubt - whoever joins without --yes a copy that was started with it is asked as well', () =>
  onStage(async (stage) => {
    stage.write('golden', randomBytesOf(1, 8 * MIB));
    stage.tool('gzip', 'gzip', [stage.path('golden')]);
    const device = blankDevice(stage);
    const first = stage.copyJson(
      '--yes',
      '--limit',
      '4M',
      '--block-size',
      '1M',
      stage.path('golden.gz'),
      stage.target('a'),
    );
    await stage.sees('the first copy', ({ bytesRead }) => bytesRead > 0);
    await expectFailure(stage.copyJson(stage.path('golden.gz'), device), 'TARGET_NOT_CONFIRMED', DOUBT);
    await first.good();
  }));

test('doubt - a disk joins a copy to a new file, for which nobody had looked at the source', () =>
  onStage(async (stage) => {
    const image = stage.write('golden.img', diskBytes(4 * MIB));
    const source = stage.path('golden.qcow2');
    stage.tool('qemu-img', 'qemu-utils', ['convert', '-O', 'qcow2', image.path, source]);
    const device = blankDevice(stage);
    const first = stage.copyJson('--limit', '2M', '--block-size', '1M', source, stage.target('a'));
    await stage.sees('the first copy', ({ bytesRead }) => bytesRead > 0);
    await stage.copyJson(source, device).good();
    await first.good();
    expect(stage.difference(device, image.content)).toBe(null);
  }));

test('doubt - a terminal asks one question, which says it', () =>
  onStage(async (stage) => {
    const image = stage.write('golden.img', randomBytesOf(1, 2 * MIB));
    stage.write('out/a.img', stage.allow(Buffer.alloc(1000, 7)));
    const terminal = Terminal.run(stage, ['copy', image.path, stage.target('a.img')]);
    await terminal.shows(/neither a partition table nor a file system.*Type yes to overwrite it/s);
    terminal.type('yes');
    const screen = await terminal.shows(/status 0/);
    expect(screen.match(/Type yes/g)).toHaveLength(1);
    terminal.close();
    expect(stage.difference('a.img', image.content)).toBe(null);
  }));

test('waiting - a copy that waits for the first bytes of a pipe ends with SIGINT, and leaves nothing', () =>
  onStage(async (stage) => {
    const run = stage.copy(['--quiet', '-', stage.target('a')], { stdin: 'pipe' });
    run.child.stdin?.on('error', () => run.child.stdin?.destroy());
    run.child.stdin?.write(Buffer.alloc(100, 7));
    await eventually('a producer', () => stage.producers.length === 1);
    expect((await run.kill('SIGINT')).status).toBe(130);
  }));
