// Targets that are storage already: block devices and NBD servers. They have a size and an old content of their own.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { patchwork, randomBytesOf, writeSparse } from '../rig/content.ts';
import { onStage } from '../rig/stage.ts';

const MIB = 1024 * 1024;

test('target - block devices get the image, zeros replace what they held, the rest stays', () =>
  onStage(async (stage) => {
    const content = patchwork(8, MIB, '##....#.');
    writeSparse(stage.path('golden.img'), content, MIB);
    const old = randomBytesOf(4, 10 * MIB);
    const devices = ['one', 'two'].map((name) => {
      writeFileSync(stage.path(name), old);
      return stage.loop(stage.path(name));
    });
    const copy = stage.copyJson('--yes', '--verify', '--block-size', '1M', stage.path('golden.img'), ...devices);
    const result = await copy.result();
    expect(result.ok).toBe(true);
    for (const [index, target] of result.targets.entries()) {
      expect(target).toMatchObject({ bytesCopied: 3 * MIB, bytesZeroed: 5 * MIB, verified: true });
      const expected = Buffer.concat([content, old.subarray(8 * MIB)]);
      expect(stage.difference(devices[index] ?? '', expected)).toBe(null);
    }
    expect(readdirSync(stage.state, { recursive: true }).filter((name) => String(name).endsWith('.resume'))).toEqual(
      [],
    );
  }));

test('target - an image that ends within a sector goes to a block device', () =>
  onStage(async (stage) => {
    const image = stage.image('golden.img', 2 * MIB + 700);
    writeFileSync(stage.path('disk'), randomBytesOf(4, 4 * MIB));
    const device = stage.loop(stage.path('disk'));
    await stage.copyJson('--yes', '--verify', image.path, device).good();
    expect(stage.difference(device, image.content)).toBe(null);
  }));

test('target - an NBD server gets the image', () =>
  onStage(async (stage) => {
    const content = patchwork(8, MIB, '##....#.');
    writeSparse(stage.path('golden.img'), content, MIB);
    const server = await stage.nbdkit({ plugin: ['file', 'FOLDER/disk'], files: { disk: randomBytesOf(4, 9 * MIB) } });
    const target = await stage
      .copyJson('--yes', '--verify', '--block-size', '1M', stage.path('golden.img'), server.uri)
      .good();
    expect(target).toMatchObject({ bytesCopied: 3 * MIB, bytesZeroed: 5 * MIB, verified: true });
    expect(
      readFileSync(join(server.folder, 'disk'))
        .subarray(0, 8 * MIB)
        .equals(content),
    ).toBe(true);
  }));

test('target - file, block device and NBD server take the same reading', () =>
  onStage(async (stage) => {
    const image = stage.image('golden.img', 8 * MIB);
    writeFileSync(stage.path('disk'), Buffer.alloc(8 * MIB));
    const device = stage.loop(stage.path('disk'));
    const server = await stage.nbdkit({ plugin: ['memory', '8M'] });
    const copy = stage.copyJson('--yes', '--verify', image.path, stage.target('a.img'), device, server.uri);
    const result = await copy.result();
    expect(result.ok).toBe(true);
    expect(result.producer).toEqual({ bytesRead: 8 * MIB, sweeps: 1 });
    expect(stage.difference('a.img', image.content)).toBe(null);
    expect(stage.difference(device, image.content)).toBe(null);
    await stage.copyJson(server.uri, stage.target('back.img')).good();
    expect(stage.difference('back.img', image.content)).toBe(null);
  }));
