// A resume record is of a disk, not of a name: device names move between disks, and a disk may have been written since.
import {
  closeSync,
  copyFileSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { loadRecord, recordAt } from '../../src/replication/target/mod.ts';
import { patchwork, randomBytesOf } from '../rig/content.ts';
import { GatedSource } from '../rig/gated-source.ts';
import { onStage, type Stage } from '../rig/stage.ts';

const KIB = 1024;
const MIB = 1024 * KIB;
const BLOCK = 64 * KIB;
const SHAPE = ['--block-size', '64K', '--buffer', '512K'];

/** An interrupted copy to a target, of which more than a quarter is recorded. */
async function interrupted(stage: Stage, source: string, target: string): Promise<void> {
  const copy = stage.copyJson(...SHAPE, '--yes', '--limit', '1M', source, target);
  await stage.sees('twenty blocks', ({ consumers }) => (consumers[0]?.blocksLeft ?? 64) <= 44);
  copy.signal('SIGINT');
  expect((await copy.result()).targets[0]).toMatchObject({ resumable: true, error: { code: 'INTERRUPTED' } });
}

/** A loop device over a file of the stage. */
class Loop {
  readonly device: string;
  readonly #stage: Stage;

  constructor(stage: Stage, file: string) {
    this.#stage = stage;
    this.device = stage.loop(file);
  }

  /** Another disk takes the name. */
  replace(file: string, ...options: readonly string[]): void {
    this.#stage.tool('losetup', 'mount', ['--detach', this.device]);
    this.#stage.tool('losetup', 'mount', [...options, this.device, file]);
  }
}

function disk(stage: Stage, name: string, content: Buffer): string {
  writeFileSync(stage.path(name), content);
  return stage.path(name);
}

function fileSystem(stage: Stage, name: string, sizeBytes: number): Buffer {
  const path = disk(stage, name, Buffer.alloc(sizeBytes));
  stage.tool('mkfs.ext4', 'e2fsprogs', ['-q', '-F', path]);
  return readFileSync(path);
}

function write(path: string, offsetBytes: number, bytes: Buffer): void {
  const fd = openSync(path, 'r+');
  try {
    writeSync(fd, bytes, 0, bytes.length, offsetBytes);
  } finally {
    closeSync(fd);
  }
}

async function refused(stage: Stage, ...args: readonly string[]): Promise<void> {
  const copy = stage.copyJson('--resume', ...SHAPE, ...args);
  expect((await copy.result()).targets[0]).toMatchObject({ ok: false, error: { code: 'TARGET_NOT_CONFIRMED' } });
  expect((await copy.ended).status).toBe(4);
}

test.concurrent('resume - another disk under the name is refused like a new target, and not written', () =>
  onStage(async (stage) => {
    const image = stage.image('golden.img', 4 * MIB);
    const loop = new Loop(stage, disk(stage, 'first', Buffer.alloc(4 * MIB)));
    await interrupted(stage, image.path, loop.device);
    const foreign = fileSystem(stage, 'second', 4 * MIB);
    loop.replace(stage.path('second'));
    await refused(stage, image.path, loop.device);
    expect(readFileSync(stage.path('second')).equals(foreign)).toBe(true);
    // With leave it is a copy from the start, which says so.
    const target = await stage.copyJson('--resume', '--yes', ...SHAPE, image.path, loop.device).good();
    expect(target).toMatchObject({ bytesReused: 0, bytesCopied: 4 * MIB });
    expect(target.notes.join()).toMatch(/begins at the start: there is no record/);
    expect(stage.difference(loop.device, image.content)).toBe(null);
  }));

test.concurrent('resume - two disks that swap their names each go on with their own', () =>
  onStage(async (stage) => {
    const [one, two] = [stage.image('one.img', 4 * MIB, 1), stage.image('two.img', 4 * MIB, 2)];
    const first = new Loop(stage, disk(stage, 'first', Buffer.alloc(4 * MIB)));
    const second = new Loop(stage, disk(stage, 'second', Buffer.alloc(4 * MIB)));
    await interrupted(stage, one.path, first.device);
    await interrupted(stage, two.path, second.device);
    stage.tool('losetup', 'mount', ['--detach', second.device]);
    first.replace(stage.path('second'));
    stage.tool('losetup', 'mount', [second.device, stage.path('first')]);
    for (const [image, loop] of [
      [one, second],
      [two, first],
    ] as const) {
      const target = await stage.copyJson('--resume', ...SHAPE, image.path, loop.device).good();
      // All that was there but the first block, which is held back until all others are.
      expect(target.bytesReused).toBeGreaterThanOrEqual(19 * BLOCK);
      expect(stage.difference(loop.device, image.content)).toBe(null);
    }
  }));

test.concurrent('resume - the same file behind the loop device, made again with other content', () =>
  onStage(async (stage) => {
    const image = stage.image('golden.img', 4 * MIB);
    const loop = new Loop(stage, disk(stage, 'first', Buffer.alloc(4 * MIB)));
    await interrupted(stage, image.path, loop.device);
    const foreign = fileSystem(stage, 'second', 4 * MIB);
    // The inode stays, so that only the content tells.
    writeFileSync(stage.path('first'), foreign);
    loop.replace(stage.path('first'));
    await refused(stage, image.path, loop.device);
    expect(readFileSync(stage.path('first')).equals(foreign)).toBe(true);
  }));

test.concurrent.each([
  ['first', 0],
  ['last', -1],
])('resume - somebody wrote over the %s block that was recorded', (_, place) =>
  onStage(async (stage) => {
    const image = stage.image('golden.img', 4 * MIB);
    const loop = new Loop(stage, disk(stage, 'first', Buffer.alloc(4 * MIB)));
    await interrupted(stage, image.path, loop.device);
    const block = recordedBlocks(stage).at(place) ?? -1;
    write(loop.device, block * BLOCK + 500, Buffer.from('somebody was here'));
    // The first block of the disk is still zeros: it shows no data that somebody may want, so nothing has to be asked.
    const target = await stage.copyJson('--resume', ...SHAPE, image.path, loop.device).good();
    expect(target).toMatchObject({ bytesReused: 0, bytesCopied: 4 * MIB });
    expect(target.notes.join()).toContain('does not hold what the interrupted copy wrote');
    expect(stage.difference(loop.device, image.content)).toBe(null);
  }),
);

/** Blocks of the one record; what was in flight at the end is on the disk too, but not in it. */
function recordedBlocks(stage: Stage): number[] {
  const [name = ''] = readdirSync(join(stage.state, 'understudy'));
  const { done, blockCount } = loadRecord(recordAt(join(stage.state, 'understudy', name)));
  const blocks = Array.from({ length: blockCount }, (_, block) => block);
  return blocks.filter((block) => (((done[block >>> 3] ?? 0) >>> (block & 7)) & 1) !== 0);
}

test.concurrent('resume - a blank disk of the same size is not taken for one that has the zeros of the image', () =>
  onStage(async (stage) => {
    // The first blocks are zeros that were written as such, not holes: they are recorded like others.
    const content = patchwork(3, BLOCK, `${'.'.repeat(40)}${'#'.repeat(24)}`);
    const source = await GatedSource.start(stage, content, 40 * BLOCK);
    const loop = new Loop(stage, disk(stage, 'first', Buffer.alloc(4 * MIB)));
    const copy = stage.copyJson(...SHAPE, '--yes', source.uri, loop.device);
    await stage.sees('the zeros', ({ consumers }) => (consumers[0]?.blocksLeft ?? 64) <= 24);
    copy.signal('SIGINT');
    expect((await copy.result()).targets[0]).toMatchObject({ resumable: true });
    source.open();
    const target = await stage.copyJson('--resume', '--yes', ...SHAPE, source.uri, loop.device).good();
    expect(stage.difference(loop.device, content)).toBe(null);
    expect(target.notes.join()).toContain('hold only zeros');
  }));

test.concurrent('resume - a partition that was moved is another target', () =>
  onStage(async (stage) => {
    const image = stage.image('golden.img', 4 * MIB);
    const path = disk(stage, 'first', Buffer.alloc(32 * MIB));
    const loop = stage.loop(path, '--partscan');
    const partition = (startBytes: number, sizeBytes: number): void => {
      const line = `label: dos\nstart=${startBytes / 512}, size=${sizeBytes / 512}, type=83\n`;
      writeFileSync(stage.path('table'), line);
      stage.tool('sh', 'dash', ['-c', `sfdisk -q --no-reread --wipe never ${loop} < ${stage.path('table')}`]);
      stage.tool('sh', 'dash', ['-c', `partx -u ${loop} || partx -a ${loop}`]);
    };
    partition(MIB, 8 * MIB);
    await interrupted(stage, image.path, `${loop}p1`);
    partition(16 * MIB, 8 * MIB);
    const target = await stage.copyJson('--resume', ...SHAPE, image.path, `${loop}p1`).good();
    expect(target).toMatchObject({ bytesReused: 0, bytesCopied: 4 * MIB });
    expect(stage.difference(`${loop}p1`, image.content)).toBe(null);
    stage.tool('partx', 'util-linux', ['-d', loop]);
  }));

test.concurrent('resume - an NBD server that has other content or another size', () =>
  onStage(async (stage) => {
    const image = stage.image('golden.img', 4 * MIB);
    const server = await stage.nbdkit({ plugin: ['file', 'FOLDER/disk'], files: { disk: Buffer.alloc(4 * MIB) } });
    await interrupted(stage, image.path, server.uri);
    const other = randomBytesOf(7, 4 * MIB);
    writeFileSync(join(server.folder, 'disk'), other);
    const target = await stage.copyJson('--resume', ...SHAPE, image.path, server.uri).good();
    expect(target).toMatchObject({ bytesReused: 0, bytesCopied: 4 * MIB });
    expect(target.notes.join()).toContain('does not hold what the interrupted copy wrote');
    expect(readFileSync(join(server.folder, 'disk')).equals(image.content)).toBe(true);
  }));

test.concurrent('resume - a record of an older version is none', () =>
  onStage(async (stage) => {
    const image = stage.image('golden.img', 4 * MIB);
    const loop = new Loop(stage, disk(stage, 'first', fileSystem(stage, 'second', 4 * MIB)));
    await interrupted(stage, image.path, loop.device);
    const [record = ''] = readdirSync(join(stage.state, 'understudy')).filter((name) => name.endsWith('.resume'));
    asVersion1(join(stage.state, 'understudy', record), stage);
    copyFileSync(stage.path('second'), stage.path('first'));
    await refused(stage, image.path, loop.device);
    expect(readFileSync(stage.path('first')).equals(readFileSync(stage.path('second')))).toBe(true);
    rmSync(stage.path('second'));
  }));

/** Rewrites a record as the first version would have written it. */
function asVersion1(path: string, stage: Stage): void {
  const bytes = readFileSync(path);
  const end = bytes.indexOf(0x0a);
  const {
    target: _,
    missingCount: __,
    ...head
  } = JSON.parse(bytes.toString('utf8', 0, end)) as Record<string, unknown>;
  const whole = Buffer.concat([
    Buffer.from(`${JSON.stringify({ ...head, version: 1 })}\n`),
    bytes.subarray(end + 1, -32),
  ]);
  writeFileSync(path, whole);
  const hash = stage.tool('sha256sum', 'coreutils', [path]).slice(0, 64);
  writeFileSync(path, Buffer.concat([whole, Buffer.from(hash, 'hex')]));
}

test.concurrent('resume - a record of another source is refused, and the disk is left as it is', () =>
  onStage(async (stage) => {
    const [one, two] = [stage.image('one.img', 4 * MIB, 1), stage.image('two.img', 4 * MIB, 2)];
    const loop = new Loop(stage, disk(stage, 'first', Buffer.alloc(4 * MIB)));
    await interrupted(stage, one.path, loop.device);
    const before = readFileSync(stage.path('first'));
    const copy = stage.copyJson('--resume', ...SHAPE, two.path, loop.device);
    expect((await copy.result()).targets[0]?.error?.code).toBe('RESUME_SOURCE_DIFFERS');
    expect(readFileSync(stage.path('first')).equals(before)).toBe(true);
  }));

test.concurrent('resume - a disk that was partitioned meanwhile, after a copy that had not come to its first block', () =>
  onStage(async (stage) => {
    const image = stage.image('golden.img', 8 * MIB);
    const loop = new Loop(stage, disk(stage, 'first', Buffer.alloc(8 * MIB)));
    const first = stage.copyJson(...SHAPE, '--limit', '1M', image.path, stage.target('a'));
    await stage.sees('a third of it', ({ bytesRead }) => bytesRead > 40 * BLOCK);
    const late = stage.copyJson(...SHAPE, '--join', 'newest', '--limit', '1M', image.path, loop.device);
    await stage.sees('blocks of the second', ({ consumers }) =>
      consumers.some(({ target, blocksLeft }) => target === loop.device && blocksLeft < 110),
    );
    late.signal('SIGINT');
    expect((await late.result()).targets[0]).toMatchObject({ resumable: true });
    first.signal('SIGINT');
    await first.ended;
    stage.tool('sh', 'dash', [
      '-c',
      `echo start=2048,size=2048,type=83 | sfdisk -q --wipe never --label dos ${loop.device}`,
    ]);
    await refused(stage, image.path, loop.device);
  }));

test.concurrent('resume - where no record can be kept, a disk is copied all the same, and the result says so', () =>
  onStage(async (stage) => {
    const image = stage.image('golden.img', MIB);
    const loop = new Loop(stage, disk(stage, 'first', Buffer.alloc(MIB)));
    const copy = stage.copy(['--json', '--quiet', image.path, loop.device], { env: { XDG_STATE_HOME: image.path } });
    expect((await copy.good()).notes.join()).toMatch(/cannot be resumed: cannot record progress in .*ENOTDIR/);
    expect(stage.difference(loop.device, image.content)).toBe(null);
  }));
