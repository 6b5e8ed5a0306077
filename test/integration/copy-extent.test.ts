// Less than the whole source, on a real partitioned disk image and a real file system, through the whole program.
import { mkdirSync, statSync } from 'node:fs';
import { expect, test } from 'vitest';
import { randomBytesOf } from '../rig/content.ts';
import { onStage, type Stage } from '../rig/stage.ts';
import { contentOf, makeExt, makeTree, place, readBytes } from '../support/disk-image.ts';

const MIB = 1024 * 1024;

/** A disk of 64 MiB whose GPT ends with a partition at 33 MiB; random bytes lie behind it, where nothing is. */
function partitionedDisk(stage: Stage): { path: string; fileSystem: string } {
  const path = stage.path('disk.img');
  stage.write('disk.img', randomBytesOf(7, 64 * MIB));
  const layout = 'label: gpt\nstart=2048, size=65536, type=linux\n';
  stage.tool('sh', 'dash', ['-c', `printf '${layout}' | /usr/sbin/sfdisk --quiet ${path}`]);
  const tree = stage.path('tree');
  mkdirSync(tree);
  const fileSystem = makeExt(stage.path('fs.img'), makeTree(tree, 3), 32 * MIB, ['-t', 'ext4', '-b', '4096']);
  place(fileSystem, path, MIB);
  return { path, fileSystem };
}

test('extent - image ends with the last partition', () =>
  onStage(async (stage) => {
    const { path } = partitionedDisk(stage);
    const copy = stage.copyJson('--extent', 'image', '--verify', '--block-size', '1M', path, stage.target('a.img'));
    const target = await copy.good();
    const { size } = statSync(stage.target('a.img'));
    expect(size).toBe(33 * MIB);
    expect(target.bytesCopied + target.bytesZeroed).toBe(size);
    const expected = stage.allow(readBytes(path, 0, size));
    expect(stage.difference('a.img', expected)).toBe(null);
  }));

test('extent - used copies what the file systems use, and the file system of the copy is whole', () =>
  onStage(async (stage) => {
    const { path, fileSystem } = partitionedDisk(stage);
    const copy = stage.copyJson('--extent', 'used', '--verify', '--block-size', '64K', path, stage.target('a.img'));
    const target = await copy.good();
    // Under a third of the file system is in use.
    expect(target.bytesCopied).toBeLessThan(16 * MIB);
    expect((await copy.result()).producer.bytesRead).toBe(target.bytesCopied);
    const copied = `${stage.target('a.img')}?offset=${MIB}`;
    stage.tool('e2fsck', 'e2fsprogs', ['-fn', copied]);
    expect(contentOf(copied, stage.path('files'))).toBe(contentOf(fileSystem, stage.path('original')));
    stage.allow(readBytes(stage.target('a.img'), 0, statSync(stage.target('a.img')).size));
  }));

test('extent - used of a qcow2 image to a block device that held something else', () =>
  onStage(async (stage) => {
    const { path, fileSystem } = partitionedDisk(stage);
    stage.tool('qemu-img', 'qemu-utils', ['convert', '-O', 'qcow2', path, stage.path('disk.qcow2')]);
    stage.image('spare', 64 * MIB, 99);
    const device = stage.loop(stage.path('spare'));
    await stage.copyJson('--extent', 'used', '--yes', '--verify', stage.path('disk.qcow2'), device).good();
    stage.tool('e2fsck', 'e2fsprogs', ['-fn', `${device}?offset=${MIB}`]);
    const copied = contentOf(`${device}?offset=${MIB}`, stage.path('files'));
    expect(copied).toBe(contentOf(fileSystem, stage.path('original')));
  }));

test('extent - a stream has none that could be found out', () =>
  onStage(async (stage) => {
    const copy = stage.copy(['--json', '--quiet', '--extent', 'image', '-', stage.target('a')], { stdin: 'pipe' });
    copy.child.stdin?.end('an image');
    expect((await copy.ended).status).toBe(3);
    expect(copy.stderr).toContain('EXTENT_UNSUPPORTED');
    expect(stage.targets).toEqual([]);
  }));
