// What can be wrong with a source. Each test produces it for real, and checks message, exit status and that nothing
// stays.
import { once } from 'node:events';
import {
  chmodSync,
  closeSync,
  createWriteStream,
  mkdirSync,
  openSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { expect, test } from 'vitest';
import { randomBytesOf } from '../rig/content.ts';
import { expectFailure } from '../rig/failure.ts';
import { GatedSource } from '../rig/gated-source.ts';
import { onStage, type Stage } from '../rig/stage.ts';
import { RogueServer } from '../support/nbd-server.ts';

const KIB = 1024;
const MIB = 1024 * KIB;
const BLOCK = 64 * KIB;
const SHAPE = ['--block-size', '64K', '--buffer', '512K'];
/** Root without the right to read everything is a user like any other. */
const WITHOUT_RIGHTS = process.getuid?.() === 0 ? ['setpriv', '--bounding-set=-all', '--inh-caps=-all', '--'] : [];

test.concurrent('source missing', () =>
  onStage(async (stage) => {
    await expectFailure(stage.copy([stage.path('no.img'), stage.target('a')]), 'SOURCE_NOT_FOUND', /no\.img: ENOENT/);
    const below = stage.path('no/folder.img');
    await expectFailure(stage.copy([below, stage.target('a')]), 'SOURCE_NOT_FOUND', /folder\.img/);
    await expectFailure(stage.copy(['/dev/no-such-disk', stage.target('a')]), 'SOURCE_NOT_FOUND', /no-such-disk/);
    expect(stage.targets).toEqual([]);
  }));

test.concurrent('source unreadable', () =>
  onStage(async (stage) => {
    const image = stage.image('golden.img', MIB);
    chmodSync(image.path, 0);
    const copy = stage.copy([image.path, stage.target('a')], { wrap: WITHOUT_RIGHTS });
    await expectFailure(copy, 'SOURCE_UNREADABLE', /golden\.img: EACCES/);
    expect(stage.targets).toEqual([]);
  }));

test.concurrent('source that is a directory, a named pipe or a character device', () =>
  onStage(async (stage) => {
    mkdirSync(stage.path('folder'));
    await expectFailure(stage.copy([stage.path('folder'), stage.target('a')]), 'SOURCE_KIND', /is a directory/);
    stage.tool('mkfifo', 'coreutils', [stage.path('pipe')]);
    await expectFailure(
      stage.copy([stage.path('pipe'), stage.target('a')]),
      'SOURCE_KIND',
      /is a named pipe.*copy - TARGET/,
    );
    await expectFailure(stage.copy(['/dev/zero', stage.target('a')]), 'SOURCE_KIND', /is a character device/);
    expect(stage.targets).toEqual([]);
  }));

test.concurrent('source empty: a file, standard input, an NBD export', () =>
  onStage(async (stage) => {
    writeFileSync(stage.path('empty.img'), '');
    await expectFailure(stage.copy([stage.path('empty.img'), stage.target('a')]), 'SOURCE_EMPTY', /holds no bytes/);
    const piped = stage.copy(['--json', '--quiet', '-', stage.target('b')], { stdin: 'pipe' });
    piped.child.stdin?.end();
    await expectFailure(piped, 'SOURCE_EMPTY', /holds no bytes/);
    const server = await stage.nbdkit({ plugin: ['memory', '0'] });
    await expectFailure(stage.copyJson(server.uri, stage.target('c')), 'SOURCE_EMPTY', /holds no bytes/);
    expect(stage.targets.filter((name) => !name.includes('.partial'))).toEqual([]);
  }));

test.concurrent.each([
  ['on', 4 * MIB + 512],
  ['on', 4 * MIB + 1],
  ['off', 4 * MIB + 511],
])('source whose size is no multiple of block or sector: --direct %s, %d bytes', (direct, sizeBytes) =>
  onStage(async (stage) => {
    const image = stage.image('golden.img', sizeBytes);
    await stage.copyJson('--direct', direct, '--verify', image.path, stage.target('a')).good();
    expect(stage.difference('a', image.content)).toBe(null);
  }),
);

test.concurrent('source that has more blocks than a ring can number', () =>
  onStage(async (stage) => {
    writeFileSync(stage.path('huge.img'), '');
    truncateSync(stage.path('huge.img'), 5 * 1024 ** 4);
    const copy = stage.copyJson(...SHAPE, stage.path('huge.img'), stage.target('a'));
    await expectFailure(copy, 'SOURCE_TOO_LARGE', /larger --block-size/);
  }));

/** Does something to a source in the middle of its copy, which has to notice. */
async function spoil(stage: Stage, words: RegExp, deed: (path: string) => void): Promise<void> {
  const image = stage.image('golden.img', 6 * MIB);
  const copy = stage.copyJson(...SHAPE, '--limit', '3M', image.path, stage.target('a'), stage.target('b'));
  await stage.sees('ten blocks', ({ consumers }) => (consumers[0]?.blocksLeft ?? 96) < 86);
  deed(image.path);
  await expectFailure(copy, 'SOURCE_CHANGED', words);
  expect((await copy.result()).targets.map(({ error }) => error?.code)).toEqual(['SOURCE_CHANGED', 'SOURCE_CHANGED']);
  expect(stage.targets.filter((name) => !name.includes('.partial'))).toEqual([]);
}

test('source that shrinks while it is copied', () =>
  onStage((stage) => spoil(stage, /shrank|was written|changed/, (path) => truncateSync(path, MIB))));

test('source that is written while it is copied', () =>
  onStage((stage) =>
    spoil(stage, /was written|changed/, (path) => utimesSync(path, new Date(), new Date(Date.now() + 10_000))),
  ));

test('source on a server that changes between two sweeps: who needs the second is told', () =>
  onStage(async (stage) => {
    const content = randomBytesOf(31, 40 * BLOCK);
    const source = await GatedSource.start(stage, content, 20 * BLOCK);
    const first = stage.copyJson(...SHAPE, source.uri, stage.target('a'));
    await stage.sees('half of it', ({ consumers }) => consumers[0]?.blocksLeft === 20);
    const late = stage.copyJson('--join', 'newest', '--limit', '1M', source.uri, stage.target('b'));
    await stage.sees('the late one', ({ consumers }) => (consumers[1]?.startBlock ?? -1) > 0);
    source.open();
    await first.good();
    expect(stage.difference('a', content)).toBe(null);
    const changed = Buffer.from(content);
    changed.write('changed', 18 * BLOCK);
    source.replace(changed);
    await expectFailure(late, 'SOURCE_CHANGED', /changed between two readings|changed while/);
    expect(stage.targets).not.toContain('b');
  }));

test.concurrent('source server that refuses, or has no such export', () =>
  onStage(async (stage) => {
    const server = await stage.nbdkit({
      tcp: true,
      filters: ['exportname'],
      plugin: ['memory', '1M', 'exportname=one', 'exportname-strict=true'],
    });
    await expectFailure(stage.copyJson(`${server.uri}two`, stage.target('a')), 'SOURCE_NOT_FOUND', /two/);
    await server.kill();
    await expectFailure(stage.copyJson(server.uri, stage.target('a')), 'SOURCE_UNAVAILABLE', /refused/i);
    const socket = 'nbd+unix:///?socket=/nowhere/socket';
    await expectFailure(stage.copyJson(socket, stage.target('a')), 'SOURCE_UNAVAILABLE', /nowhere/);
    expect(stage.targets).toEqual([]);
  }));

test.concurrent.each(['rubbish', 'rubbish-reply', 'die-mid-reply'])('source server that sends %s', (mode) =>
  onStage(async (stage) => {
    const server = await RogueServer.start(mode);
    stage.defer(() => server.stop());
    await expectFailure(stage.copyJson(server.uri, stage.target('a')), 'SOURCE_UNAVAILABLE', /./);
    expect(stage.targets.filter((name) => !name.includes('.partial'))).toEqual([]);
  }),
);

test('source server that is killed, and one that comes back', () =>
  onStage(async (stage) => {
    const image = stage.image('golden.img', 6 * MIB);
    const server = await stage.nbdkit({ plugin: ['file', image.path] });
    for (const returns of [true, false]) {
      const name = returns ? 'a' : 'b';
      const copy = stage.copyJson(...SHAPE, '--limit', '3M', server.uri, stage.target(name));
      await stage.sees('ten blocks', ({ consumers }) => (consumers[0]?.blocksLeft ?? 96) < 86);
      await server.kill();
      if (returns) {
        await server.run();
        await copy.good();
        expect(stage.difference('a', image.content)).toBe(null);
      } else {
        await expectFailure(copy, 'SOURCE_UNAVAILABLE', /./);
        expect(stage.targets).not.toContain('b');
      }
    }
  }));

test.concurrent('source that is a corrupt qcow2 image', () =>
  onStage(async (stage) => {
    const path = stage.path('golden.qcow2');
    const image = stage.image('golden.img', 4 * MIB);
    stage.tool('qemu-img', 'qemu-utils', ['convert', '-O', 'qcow2', image.path, path]);
    // The offset of the first table of clusters (qcow2 specification, header bytes 40-47) points nowhere.
    stage.tool('dd', 'coreutils', [
      'if=/dev/urandom',
      `of=${path}`,
      'bs=1',
      'seek=40',
      'count=8',
      'conv=notrunc',
      'status=none',
    ]);
    await expectFailure(stage.copyJson(path, stage.target('a')), 'SOURCE_CORRUPT', /golden\.qcow2/);
    writeFileSync(stage.path('short.qcow2'), Buffer.from('QFI\xfb\0\0\0\x03', 'latin1'));
    await expectFailure(stage.copyJson(stage.path('short.qcow2'), stage.target('b')), 'SOURCE_CORRUPT', /short\.qcow2/);
    expect(stage.targets.filter((name) => !name.includes('.partial'))).toEqual([]);
  }));

test.concurrent.each([
  ['xz', 'xz-utils', 'xz', ['-0']],
  ['gzip', 'gzip', 'gz', ['-1']],
  ['zstd', 'zstd', 'zst', ['-q']],
  ['bzip2', 'bzip2', 'bz2', ['-1']],
])('source compressed with %s that is damaged, or cut', (tool, debianPackage, suffix, options) =>
  onStage(async (stage) => {
    const image = stage.image('golden.img', 3 * MIB);
    stage.tool(tool, debianPackage, ['-k', ...options, image.path]);
    const packed = `${image.path}.${suffix}`;
    stage.tool('cp', 'coreutils', [packed, stage.path(`cut.${suffix}`)]);
    truncateSync(stage.path(`cut.${suffix}`), 2 * MIB);
    stage.tool('dd', 'coreutils', [
      'if=/dev/zero',
      `of=${packed}`,
      'bs=1K',
      'seek=1500',
      'count=64',
      'conv=notrunc',
      'status=none',
    ]);
    await expectFailure(stage.copyJson(packed, stage.target('a')), 'SOURCE_CORRUPT', /golden\.img/);
    await expectFailure(stage.copyJson(stage.path(`cut.${suffix}`), stage.target('b')), 'SOURCE_CORRUPT', /cut\./);
    expect(stage.targets.filter((name) => !name.includes('.partial'))).toEqual([]);
  }),
);

test.concurrent('source in a format that cannot be read', () =>
  onStage(async (stage) => {
    const image = stage.image('golden.img', MIB);
    await expectFailure(stage.copy(['--format', 'floppy', image.path, stage.target('a')]), 'FORMAT_UNKNOWN', /floppy/);
    expect(stage.targets).toEqual([]);
  }));

test.concurrent('source that can be read only once has no second sweep for a joiner', () =>
  onStage(async (stage) => {
    const image = stage.image('golden.img', 6 * MIB);
    stage.tool('mkfifo', 'coreutils', [stage.path('pipe')]);
    // Opened both ways at first, so that neither of the two opens that follow waits for the other.
    const both = openSync(stage.path('pipe'), 'r+');
    const fd = openSync(stage.path('pipe'), 'r');
    const writer = createWriteStream(stage.path('pipe'));
    await once(writer, 'open');
    closeSync(both);
    writer.end(image.content);
    const first = stage.copy(['--json', '--quiet', ...SHAPE, '--limit', '1M', '-', stage.target('a')], { stdin: fd });
    await stage.sees('the ring has gone round', ({ bytesRead }) => bytesRead > MIB);
    const late = stage.copy(['--json', '--quiet', '-', stage.target('b')], { stdin: fd });
    await expectFailure(late, 'SOURCE_NOT_REWINDABLE', /first \d+ blocks have gone by/);
    await first.good();
    closeSync(fd);
    expect(stage.difference('a', image.content)).toBe(null);
    expect(stage.targets).not.toContain('b');
  }));
