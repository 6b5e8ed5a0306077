// A GPT on a disk that is larger than its image: its backup goes to the end, the stale ones go, and what the tools of others
// say of the result is that there is nothing to mend.
import { closeSync, openSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { expect, test } from 'vitest';
import { randomBytesOf } from '../rig/content.ts';
import { onStage, type Stage } from '../rig/stage.ts';
import { forgetPartitions } from '../rig/unmount.ts';

const MIB = 1024 * 1024;
const SECTOR = 512;
const TABLE = 33 * SECTOR;
const SHAPE = ['--yes', '--verify', '--block-size', '1M'];

function sgdisk(stage: Stage, path: string, ...args: readonly string[]): string {
  return stage.tool('sgdisk', 'gdisk', [...args, path]);
}

/** An image of random bytes with a GPT of two partitions. */
function gptImage(stage: Stage, name: string, sizeBytes: number, ...args: readonly string[]): Buffer {
  const path = stage.path(name);
  writeFileSync(path, randomBytesOf(3, sizeBytes));
  const parts = args.length > 0 ? args : ['-n', '1:2048:6143', '-n', '2:6144:0'];
  sgdisk(stage, path, '-Z');
  sgdisk(stage, path, '-o', '-a', '8', ...parts);
  return stage.allow(readFileSync(path));
}

function disk(stage: Stage, sizeBytes: number, ...options: readonly string[]): string {
  const path = stage.path(`disk${diskCount++}`);
  writeFileSync(path, randomBytesOf(77, sizeBytes));
  return stage.loop(path, ...options);
}
let diskCount = 0;

function contentOf(stage: Stage, device: string): Buffer {
  const path = stage.path('content');
  stage.tool('dd', 'coreutils', [`if=${device}`, `of=${path}`, 'bs=1M', 'iflag=direct', 'status=none']);
  return readFileSync(path);
}

/** What sgdisk makes of the image on a larger disk, with the old backup cleared, which it leaves. */
function asOthersDo(stage: Stage, image: Buffer, sizeBytes: number): Buffer {
  const path = stage.path('others');
  writeFileSync(path, image);
  truncateSync(path, sizeBytes);
  sgdisk(stage, path, '-e');
  const content = readFileSync(path);
  const behind = Math.min(TABLE, sizeBytes - TABLE - (image.length - TABLE));
  content.fill(0, image.length - TABLE, image.length - TABLE + behind);
  return content;
}

function expectHealthy(stage: Stage, device: string): void {
  expect(sgdisk(stage, device, '-v')).toContain('No problems found');
  stage.tool('sfdisk', 'fdisk', ['--verify', device]);
}

// Larger by a sector, by less than a table, and by more.
test.each([1, 20, 33, 34, 4096])(
  'gpt - on a disk larger by %d sectors it is what sgdisk -e makes, and nothing else differs',
  (sectors) =>
    onStage(async (stage) => {
      const image = gptImage(stage, 'golden.img', 8 * MIB);
      const sizeBytes = image.length + sectors * SECTOR;
      const device = disk(stage, sizeBytes);
      const target = await stage.copyJson(...SHAPE, stage.path('golden.img'), device).good();
      expect(target).toMatchObject({ verified: true, gpt: { action: 'moved', note: null } });
      const content = contentOf(stage, device);
      const others = asOthersDo(stage, image, sizeBytes);
      // Between the image and the new backup the disk keeps what it had.
      randomBytesOf(77, sizeBytes).copy(others, image.length, image.length, Math.max(image.length, sizeBytes - TABLE));
      expect(content.equals(others)).toBe(true);
      expectHealthy(stage, device);
      // What differs is what is said to differ.
      const differing = new Set<number>();
      for (let at = 0; at < image.length; at++) if (content[at] !== image[at]) differing.add(at);
      for (const { offsetBytes, lengthBytes } of target.gpt?.ranges ?? [])
        for (let at = offsetBytes; at < offsetBytes + lengthBytes; at++) differing.delete(at);
      expect([...differing]).toEqual([]);
    }),
);

test('gpt - in blocks of every size, of a stream, and with a digest, which is that of the source', () =>
  onStage(async (stage) => {
    const image = gptImage(stage, 'golden.img', 8 * MIB);
    stage.tool('gzip', 'gzip', ['-k', '-1', stage.path('golden.img')]);
    const [hex] = stage.tool('sha256sum', 'coreutils', [stage.path('golden.img')]).split(' ');
    const expected = asOthersDo(stage, image, 9 * MIB);
    randomBytesOf(77, 9 * MIB).copy(expected, image.length, image.length, 9 * MIB - TABLE);
    for (const [block, name] of [
      ['64K', 'golden.img'],
      ['4M', 'golden.img'],
      ['32M', 'golden.img'],
      ['64K', 'golden.img.gz'],
      ['4M', 'golden.img.gz'],
      ['32M', 'golden.img.gz'],
    ] as const) {
      const device = disk(stage, 9 * MIB);
      const args = ['--yes', '--verify', '--block-size', block, '--expect', `sha256:${hex}`];
      const target = await stage.copyJson(...args, stage.path(name), device).good();
      expect(target).toMatchObject({ digest: `sha256:${hex}`, gpt: { action: 'moved' } });
      expect([block, name, contentOf(stage, device).equals(expected)]).toEqual([block, name, true]);
    }
  }));

test('gpt - with --gpt keep, to a file, to a server, and to a disk of its size the image is written as it is', () =>
  onStage(async (stage) => {
    const image = gptImage(stage, 'golden.img', 8 * MIB);
    const same = disk(stage, 8 * MIB);
    const larger = disk(stage, 9 * MIB);
    const server = await stage.nbdkit({ plugin: ['file', 'FOLDER/disk'], files: { disk: randomBytesOf(77, 9 * MIB) } });
    const kept = await stage.copyJson(...SHAPE, '--gpt', 'keep', stage.path('golden.img'), larger).good();
    expect(kept.gpt).toEqual({ action: 'kept', note: null, ranges: [] });
    const source = stage.path('golden.img');
    const { targets, ok } = await stage.copyJson(...SHAPE, source, same, server.uri, stage.target('a')).result();
    expect([ok, targets.map(({ gpt }) => gpt)]).toEqual([true, [null, null, null]]);
    const old = randomBytesOf(77, 9 * MIB);
    const whole = Buffer.concat([image, old.subarray(8 * MIB)]);
    expect(stage.difference(larger, whole)).toBe(null);
    expect(stage.difference(join(server.folder, 'disk'), whole)).toBe(null);
    expect(stage.difference(same, image)).toBe(null);
    expect(stage.difference('a', image)).toBe(null);
    expectHealthy(stage, same);
  }));

test('gpt - what is said of it on a terminal', () =>
  onStage(async (stage) => {
    gptImage(stage, 'golden.img', 8 * MIB);
    const copy = stage.copy([...SHAPE, '--quiet', stage.path('golden.img'), disk(stage, 9 * MIB)]);
    await copy.ended;
    expect(copy.stderr).toContain('the backup GPT was moved to the end of the disk');
  }));

test('gpt - a second copy to the same disk, and one of a larger image, end well too', () =>
  onStage(async (stage) => {
    const image = gptImage(stage, 'golden.img', 8 * MIB);
    const larger = gptImage(stage, 'larger.img', 12 * MIB);
    const device = disk(stage, 16 * MIB);
    for (const [name, content] of [
      ['golden.img', image],
      ['golden.img', image],
      ['larger.img', larger],
      ['golden.img', image],
    ] as const) {
      await stage.copyJson(...SHAPE, stage.path(name), device).good();
      expectHealthy(stage, device);
      const tableless = contentOf(stage, device).subarray(MIB, content.length - MIB);
      expect(tableless.equals(content.subarray(MIB, content.length - MIB))).toBe(true);
    }
  }));

test('gpt - the backup of another table that the disk had goes with move, and stays with keep', () =>
  onStage(async (stage) => {
    const image = stage.write('mbr.img', randomBytesOf(3, 4 * MIB)).path;
    stage.tool('sh', 'dash', [
      '-c',
      `printf 'label: dos\\nstart=2048\\n' | /usr/sbin/sfdisk --quiet --wipe always "$0"`,
      image,
    ]);
    const mbr = stage.allow(readFileSync(image));
    const old = gptImage(stage, 'old.img', 8 * MIB);
    for (const policy of ['keep', 'move']) {
      const device = disk(stage, 8 * MIB);
      await stage.copyJson(...SHAPE, stage.path('old.img'), device).good();
      const target = await stage.copyJson(...SHAPE, '--gpt', policy, image, device).good();
      const content = contentOf(stage, device);
      expect(content.subarray(0, mbr.length).equals(mbr)).toBe(true);
      expect(content.subarray(mbr.length, -TABLE).equals(old.subarray(mbr.length, -TABLE))).toBe(true);
      const cleared = content.subarray(-TABLE).every((byte) => byte === 0);
      expect([policy, cleared]).toEqual([policy, policy === 'move']);
      if (policy === 'move') {
        expect(target.gpt?.action).toBe('cleared');
        continue;
      }
      expect(target.gpt).toBe(null);
      expect(content.subarray(-TABLE).equals(old.subarray(-TABLE))).toBe(true);
    }
  }));

test('gpt - bytes at the end of the disk that are not a whole header stay', () =>
  onStage(async (stage) => {
    const image = stage.image('plain.img', 4 * MIB);
    for (const damage of [16, 24, 60]) {
      const old = gptImage(stage, 'old.img', 8 * MIB);
      old[old.length - SECTOR + damage] = (old[old.length - SECTOR + damage] ?? 0) ^ 1;
      const path = stage.path(`damaged${damage}`);
      writeFileSync(path, old);
      const device = stage.loop(path);
      const target = await stage.copyJson(...SHAPE, image.path, device).good();
      expect(target.gpt).toBe(null);
      expect(stage.difference(device, Buffer.concat([image.content, old.subarray(4 * MIB)]))).toBe(null);
    }
  }));

const damages: Readonly<Record<string, { readonly at: number; readonly why: RegExp }>> = {
  'the primary header': { at: SECTOR + 60, why: /primary GPT of the image is damaged/ },
  'the entries of the primary': { at: 2 * SECTOR + 200, why: /entries of the primary/ },
  'the backup header': { at: -SECTOR + 60, why: /backup GPT of the image is damaged/ },
  'the signature of the backup': { at: -SECTOR, why: /backup GPT of the image is damaged/ },
  'the entries of the backup': { at: -TABLE + 200, why: /entries of the backup/ },
};

test.each(Object.keys(damages))('gpt - is kept with a warning when something is wrong with %s', (name) =>
  onStage(async (stage) => {
    const { at, why } = damages[name] as { at: number; why: RegExp };
    const content = gptImage(stage, 'golden.img', 8 * MIB);
    const where = at < 0 ? content.length + at : at;
    content[where] = (content[where] ?? 0) ^ 0x10;
    writeFileSync(stage.path('golden.img'), content);
    const device = disk(stage, 9 * MIB);
    const target = await stage.copyJson(...SHAPE, stage.path('golden.img'), device).good();
    expect(target.gpt).toMatchObject({ action: 'kept', ranges: [] });
    expect(target.gpt?.note).toMatch(why);
    expect(stage.difference(device, Buffer.concat([content, randomBytesOf(77, 9 * MIB).subarray(8 * MIB)]))).toBe(null);
  }),
);

test('gpt - is kept when the image was cut, or goes on behind its backup', () =>
  onStage(async (stage) => {
    const content = gptImage(stage, 'golden.img', 8 * MIB);
    const device = disk(stage, 9 * MIB);
    const cut = await stage.copyJson(...SHAPE, '--bytes', '7M', stage.path('golden.img'), device).good();
    expect(cut.gpt).toMatchObject({ action: 'kept', note: expect.stringContaining('not in the last sector') });
    expect(stage.difference(device, content.subarray(0, 7 * MIB))).toBe(null);
    const longer = stage.write('longer.img', Buffer.concat([content, randomBytesOf(9, SECTOR)]));
    const kept = await stage.copyJson(...SHAPE, longer.path, device).good();
    expect(kept.gpt).toMatchObject({ action: 'kept', note: expect.stringContaining('not in the last sector') });
    expect(stage.difference(device, longer.content)).toBe(null);
  }));

test('gpt - of another number of entries, and with a hybrid MBR', () =>
  onStage(async (stage) => {
    for (const args of [
      ['-S', '1024', '-n', '1:4096:0'],
      ['-S', '4', '-n', '1:2048:0'],
    ]) {
      const image = gptImage(stage, 'golden.img', 8 * MIB, ...args);
      const device = disk(stage, 10 * MIB);
      const target = await stage
        .copyJson('--yes', '--verify', '--block-size', '64K', stage.path('golden.img'), device)
        .good();
      expect(target.gpt?.action).toBe('moved');
      expectHealthy(stage, device);
      expect(
        contentOf(stage, device)
          .subarray(4 * MIB, 7 * MIB)
          .equals(image.subarray(4 * MIB, 7 * MIB)),
      ).toBe(true);
    }
    gptImage(stage, 'hybrid.img', 8 * MIB);
    sgdisk(stage, stage.path('hybrid.img'), '-h', '1');
    const hybrid = stage.allow(readFileSync(stage.path('hybrid.img')));
    const device = disk(stage, 10 * MIB);
    expect((await stage.copyJson(...SHAPE, stage.path('hybrid.img'), device).good()).gpt?.action).toBe('moved');
    const content = contentOf(stage, device);
    expect(content.subarray(0, SECTOR).equals(hybrid.subarray(0, SECTOR))).toBe(true);
    const others = asOthersDo(stage, hybrid, 10 * MIB);
    expect(content.subarray(0, 8 * MIB).equals(others.subarray(0, 8 * MIB))).toBe(true);
    expect(content.subarray(-TABLE).equals(others.subarray(-TABLE))).toBe(true);
  }));

test('gpt - a disk with other sectors is warned about and left alone, one with the same larger ones is served', () =>
  onStage(async (stage) => {
    const image = gptImage(stage, 'golden.img', 8 * MIB);
    for (const size of [8, 16]) {
      const device = disk(stage, size * MIB, '--sector-size', '4096');
      const target = await stage.copyJson(...SHAPE, stage.path('golden.img'), device).good();
      expect(target.gpt).toMatchObject({
        action: 'kept',
        ranges: [],
        note: expect.stringContaining('sectors of 512 bytes'),
      });
      expect(stage.difference(device, image)).toBe(null);
    }
    // The reverse, and an image that was made on such a disk.
    const native = disk(stage, 8 * MIB, '--sector-size', '4096');
    sgdisk(stage, native, '-Z');
    sgdisk(stage, native, '-o', '-n', '1:256:0');
    const content = contentOf(stage, native);
    const large = stage.write('4kn.img', content);
    const small = disk(stage, 16 * MIB);
    const warned = await stage.copyJson(...SHAPE, large.path, small).good();
    expect(warned.gpt).toMatchObject({ action: 'kept', note: expect.stringContaining('sectors of 4096 bytes') });
    expect(stage.difference(small, content)).toBe(null);
    const fitting = disk(stage, 16 * MIB, '--sector-size', '4096');
    const moved = await stage.copyJson(...SHAPE, large.path, fitting).good();
    expect(moved.gpt?.action).toBe('moved');
    expectHealthy(stage, fitting);
    const copied = contentOf(stage, fitting);
    expect(copied.subarray(MIB, 7 * MIB).equals(content.subarray(MIB, 7 * MIB))).toBe(true);
  }));

test('gpt - the kernel is shown the new partitions where it looks for any, and one that is in use is told about', () =>
  onStage(async (stage) => {
    gptImage(stage, 'golden.img', 8 * MIB);
    const plain = disk(stage, 16 * MIB);
    expect((await stage.copyJson(...SHAPE, stage.path('golden.img'), plain).good()).kernelPartitions).toBe(null);
    const scanned = disk(stage, 16 * MIB, '--partscan');
    expect((await stage.copyJson(...SHAPE, stage.path('golden.img'), scanned).good()).kernelPartitions).toBe('read');
    // Not every kernel can read this kind of table; of these partitions they are told.
    stage.tool('partx', 'util-linux', ['--update', scanned]);
    const numbers = readFileSync(`/sys/class/block/${basename(scanned)}p1/dev`, 'utf8')
      .trim()
      .split(':');
    const node = stage.path('partition');
    stage.tool('mknod', 'coreutils', [node, 'b', ...numbers]);
    const fd = openSync(node, 'r');
    const copy = stage.copy(['--json', ...SHAPE, stage.path('golden.img'), scanned]);
    expect((await copy.good()).kernelPartitions).toBe('in-use');
    closeSync(fd);
    expect((await stage.copyJson(...SHAPE, stage.path('golden.img'), scanned).good()).kernelPartitions).toBe('read');
    stage.tool('partx', 'util-linux', ['--update', scanned]);
    await forgetPartitions(scanned);
  }));
