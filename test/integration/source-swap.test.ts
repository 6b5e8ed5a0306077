// An image that names other files, and somebody who puts other files in their places between our judgement and QEMU's
// opening: what is copied is what was judged.
import { chmodSync, mkdirSync, readFileSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { findTool } from '../../src/base/mod.ts';
import { imageBytes, SourceBench } from '../support/source-bench.ts';

const content = imageBytes();
let bench: SourceBench;
const before = process.env.PATH;

beforeEach(() => {
  bench = new SourceBench();
});
afterEach(async () => {
  process.env.PATH = before;
  await bench.clear();
});

/** A qemu-nbd, the last to open an image, that finds other files by these names. */
function swapping(names: readonly string[]): void {
  const lines = names.map(
    (name) => `mv ${bench.path(name)} ${bench.path(`${name}.old`)}; ln -s secret ${bench.path(name)}`,
  );
  const bin = bench.path('bin');
  mkdirSync(bin);
  writeFileSync(`${bin}/qemu-nbd`, `#!/bin/sh\n${lines.join('\n')}\nexec ${findTool('qemu-nbd')} "$@"\n`);
  chmodSync(`${bin}/qemu-nbd`, 0o755);
  process.env.PATH = `${bin}:${before}`;
}

async function expectOwn(name: string, swapped: readonly string[], secretFormat = 'raw'): Promise<void> {
  const secret = Buffer.alloc(content.length, 'secret of this machine ');
  if (secretFormat === 'raw') bench.write('secret', secret);
  else bench.convert(secretFormat, 'secret', secret);
  swapping(swapped);
  const { client } = await bench.open({ uri: bench.path(name) });
  const { bytes, message } = await client.readAll();
  expect(message).toBe('');
  expect(Buffer.from(bytes).includes('secret of this machine')).toBe(false);
  expect(content.equals(bytes)).toBe(true);
  for (const one of swapped) expect(readFileSync(bench.path(one)).includes('secret of this machine')).toBe(true);
}

test('swapped - the image itself', async () => {
  bench.convert('qcow2', 'image', content);
  await expectOwn('image', ['image'], 'qcow2');
});

test.each([
  ['the last of a chain', ['base']],
  ['one in the middle of a chain', ['middle']],
  ['all of a chain', ['over', 'middle', 'base']],
])('swapped - %s of qcow2', async (_, swapped) => {
  bench.write('base', content);
  bench.run('qemu-img', 'create', '-q', '-f', 'qcow2', '-b', 'base', '-F', 'raw', 'middle');
  bench.run('qemu-img', 'create', '-q', '-f', 'qcow2', '-b', 'middle', '-F', 'qcow2', 'over');
  await expectOwn('over', swapped, swapped.length === 1 && swapped[0] === 'base' ? 'raw' : 'qcow2');
});

test('swapped - the data file of a qcow2', async () => {
  bench.write('plain', content);
  bench.run(
    'qemu-img',
    'convert',
    '-f',
    'raw',
    '-O',
    'qcow2',
    '-o',
    'data_file=data,data_file_raw=on',
    'plain',
    'image',
  );
  await expectOwn('image', ['data']);
});

test('swapped - what lies below a vmdk', async () => {
  bench.convert('vmdk', 'base', content);
  bench.run('qemu-img', 'create', '-q', '-f', 'vmdk', '-b', 'base', '-F', 'vmdk', 'over');
  await expectOwn('over', ['base'], 'vmdk');
});

test.each(['twoGbMaxExtentFlat', 'twoGbMaxExtentSparse', 'monolithicFlat'])(
  'swapped - the extents of a vmdk, %s',
  async (kind) => {
    bench.convert('vmdk', 'image.vmdk', content, '-o', `subformat=${kind}`);
    const extent = { twoGbMaxExtentFlat: 'image-f001.vmdk', twoGbMaxExtentSparse: 'image-s001.vmdk' }[kind];
    await expectOwn('image.vmdk', [extent ?? 'image-flat.vmdk'], kind.endsWith('Sparse') ? 'vmdk' : 'raw');
  },
);

test('swapped - a folder above the files: what is in the other one is not read', async () => {
  mkdirSync(bench.path('images'));
  mkdirSync(bench.path('other'));
  bench.write('base', content);
  renameSync(bench.path('base'), bench.path('images/base'));
  bench.run('qemu-img', 'create', '-q', '-f', 'qcow2', '-b', 'base', '-F', 'raw', 'images/over');
  bench.write('other/base', Buffer.alloc(content.length, 'secret of this machine '));
  symlinkSync('/etc', bench.path('other/etc'));
  const bin = bench.path('bin');
  mkdirSync(bin);
  const swap = `mv ${bench.path('images')} ${bench.path('old')}; ln -s other ${bench.path('images')}`;
  writeFileSync(`${bin}/qemu-nbd`, `#!/bin/sh\n${swap}\nexec ${findTool('qemu-nbd')} "$@"\n`, { mode: 0o755 });
  process.env.PATH = `${bin}:${before}`;
  const { client } = await bench.open({ uri: bench.path('images/over') });
  expect(content.equals((await client.readAll()).bytes)).toBe(true);
});
