// What can be wrong with the machine: no shared memory, a folder of somebody else, leftovers of crashes and of other
// versions.
import { chmodSync, mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { extname } from 'node:path';
import { expect, test } from 'vitest';
import { tryLockShared } from '../../src/linux/mod.ts';
import { HEADER_BYTES, Header, LAYOUT_VERSION, LockByte, MAGIC, ringPath } from '../../src/replication/ring/mod.ts';
import { randomBytesOf } from '../rig/content.ts';
import { expectFailure } from '../rig/failure.ts';
import { GatedSource } from '../rig/gated-source.ts';
import { onStage, type Stage } from '../rig/stage.ts';
import { eventually } from '../rig/wait.ts';

const KIB = 1024;
const MIB = 1024 * KIB;
const BLOCK = 64 * KIB;
const SHAPE = ['--block-size', '64K', '--buffer', '512K'];

/** A folder for shared memory of so many bytes. */
function smallMemory(stage: Stage, size: string): NodeJS.ProcessEnv {
  const folder = stage.path('memory');
  mkdirSync(folder);
  stage.tool('mount', 'mount', ['-t', 'tmpfs', '-o', `size=${size},mode=0700`, 'none', folder]);
  stage.defer(() => {
    expect(readdirSync(folder)).toEqual([]);
    stage.tool('umount', 'mount', [folder]);
  });
  return { UNDERSTUDY_RUNTIME_DIR: folder };
}

function ringOf(stage: Stage, path: string): string {
  const { dev, ino } = statSync(path);
  return ringPath(stage.runtime, `file:${dev}:${ino}+raw`);
}

test('machine - shared memory that is full is refused by name and number, before anything is written', () =>
  onStage(async (stage) => {
    const image = stage.image('golden.img', 16 * MIB);
    const env = smallMemory(stage, '2M');
    const copy = stage.copy(['--json', '--quiet', '--buffer', '64M', image.path, stage.target('a')], { env });
    await expectFailure(copy, 'RING_MEMORY', /no room for a ring of \d+ bytes.*--buffer/);
    const small = stage.copy(['--json', '--quiet', image.path, stage.target('a')], { env });
    await expectFailure(small, 'RING_MEMORY', /no room/);
    expect(stage.targets).toEqual([]);
  }));

test('machine - a ring whose size nobody asked for takes what shared memory there is', () =>
  onStage(async (stage) => {
    const image = stage.image('golden.img', 64 * MIB);
    const env = smallMemory(stage, '24M');
    await stage.copy(['--json', '--quiet', image.path, stage.target('a')], { env }).good();
    expect(stage.difference('a', image.content)).toBe(null);
  }));

test('machine - a folder for shared memory that others may enter is refused', () =>
  onStage(async (stage) => {
    const image = stage.image('golden.img', MIB);
    const folder = stage.path('open');
    mkdirSync(folder);
    chmodSync(folder, 0o755);
    const copy = stage.copy([image.path, stage.target('a')], { env: { UNDERSTUDY_RUNTIME_DIR: folder } });
    await expectFailure(copy, 'RING_FOLDER', /mode 0700/);
    expect(stage.targets).toEqual([]);
  }));

function ringFile(version: number): Buffer {
  const page = Buffer.alloc(HEADER_BYTES);
  page.writeUInt32LE(MAGIC[0], Header.magic0 * 4);
  page.writeUInt32LE(MAGIC[1], Header.magic1 * 4);
  page.writeInt32LE(version, Header.layoutVersion * 4);
  return page;
}

test.each([
  ['another version', ringFile(LAYOUT_VERSION + 1)],
  ['no version at all', randomBytesOf(1, 10_000)],
  ['less than a header', Buffer.from('short')],
  ['this version, long dead', ringFile(LAYOUT_VERSION)],
])('machine - a file of %s that nobody lives behind is replaced', (_name, content) =>
  onStage(async (stage) => {
    const image = stage.image('golden.img', 2 * MIB);
    writeFileSync(ringOf(stage, image.path), content, { mode: 0o600 });
    expect(await stage.copies()).toEqual([]);
    writeFileSync(ringOf(stage, image.path), content, { mode: 0o600 });
    await stage.copyJson(image.path, stage.target('a')).good();
    expect(stage.difference('a', image.content)).toBe(null);
  }),
);

test('machine - a living copy of another version is left alone, and says why nothing happens', () =>
  onStage(async (stage) => {
    const image = stage.image('golden.img', 2 * MIB);
    const path = ringOf(stage, image.path);
    writeFileSync(path, ringFile(LAYOUT_VERSION + 1), { mode: 0o600 });
    const fd = stage.openFile(path);
    expect(tryLockShared(fd, LockByte.interest)).toBe(true);
    await expectFailure(stage.copyJson(image.path, stage.target('a')), 'RING_VERSION', /another version/);
    expect(await stage.copies()).toEqual([]);
    expect(readdirSync(stage.runtime)).toHaveLength(1);
    stage.closeFile(fd);
    await stage.copyJson(image.path, stage.target('a')).good();
    expect(stage.difference('a', image.content)).toBe(null);
  }));

test('machine - what a crash of everybody left is taken away by the next who looks', () =>
  onStage(async (stage) => {
    const content = randomBytesOf(3, 40 * BLOCK);
    const source = await GatedSource.start(stage, content, 20 * BLOCK);
    for (const next of ['copy', 'copies'] as const) {
      source.open(20 * BLOCK);
      const copy = stage.copyJson(...SHAPE, source.uri, stage.target('a'));
      const { producerPid } = await stage.sees('half of it', ({ consumers }) => consumers[0]?.blocksLeft === 20);
      // Stopped first, so that none of them sees the other's death.
      for (const pid of [producerPid, copy.pid]) process.kill(pid, 'SIGSTOP');
      for (const pid of [producerPid, copy.pid]) process.kill(pid, 'SIGKILL');
      await copy.ended;
      await eventually('the producer has gone', () => stage.producers.length === 0);
      // The ring, and the room on the file system that the copy was promised.
      expect(readdirSync(stage.runtime).map(extname).sort()).toEqual(['.ring', '.room']);
      source.open();
      if (next === 'copies') expect(await stage.copies()).toEqual([]);
      else await stage.copyJson(...SHAPE, source.uri, stage.target('b')).good();
      expect(readdirSync(stage.runtime)).toEqual([]);
    }
    expect(stage.difference('b', content)).toBe(null);
  }));

test('machine - a device whose copy crashed can be copied to again', () =>
  onStage(async (stage) => {
    const image = stage.image('golden.img', 4 * MIB);
    writeFileSync(stage.path('disk'), Buffer.alloc(4 * MIB));
    const device = stage.loop(stage.path('disk'));
    const copy = stage.copyJson('--yes', ...SHAPE, '--limit', '2M', image.path, device);
    await stage.sees('some blocks', ({ consumers }) => (consumers[0]?.blocksLeft ?? 64) < 60);
    await copy.kill('SIGKILL');
    await eventually('the producer has gone', () => stage.producers.length === 0);
    // The lock of a device that nobody writes any more is swept, too.
    expect(readdirSync(stage.runtime).some((name) => name.endsWith('.target'))).toBe(true);
    expect(await stage.copies()).toEqual([]);
    expect(readdirSync(stage.runtime)).toEqual([]);
    await stage.copyJson('--yes', '--verify', ...SHAPE, image.path, device).good();
    expect(stage.difference(device, image.content)).toBe(null);
  }));
