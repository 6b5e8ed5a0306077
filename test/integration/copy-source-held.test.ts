// The open file is what is copied: its name may go, or another file may take it, while the copy runs.
import { appendFileSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { randomBytesOf } from '../rig/content.ts';
import { onStage, type Stage } from '../rig/stage.ts';
import { eventually } from '../rig/wait.ts';

const MIB = 1024 * 1024;
const BLOCK = 64 * 1024;
const SHAPE = ['--block-size', '64K', '--buffer', '512K', '--limit', '2M'];

function replaced(stage: Stage, path: string): void {
  writeFileSync(stage.path('new'), stage.allow(randomBytesOf(77, 8 * MIB)));
  renameSync(stage.path('new'), path);
}

const fates: readonly [string, (stage: Stage, path: string) => void][] = [
  ['is removed', (_, path) => rmSync(path)],
  ['is replaced', replaced],
];

/** How the image lies in its file. */
const kinds: readonly [string, (stage: Stage, path: string) => string][] = [
  ['raw', (_, path) => path],
  [
    'xz',
    (stage, path) => {
      stage.tool('xz', 'xz-utils', ['-0', '-T1', path]);
      return `${path}.xz`;
    },
  ],
  [
    'qcow2',
    (stage, path) => {
      stage.tool('qemu-img', 'qemu-utils', ['convert', '-f', 'raw', '-O', 'qcow2', path, `${path}.qcow2`]);
      return `${path}.qcow2`;
    },
  ],
];

test.each(kinds.flatMap(([kind, make]) => fates.map(([fate, befall]) => [kind, fate, make, befall] as const)))(
  'source - the file of a %s image %s while it is copied',
  (_kind, _fate, make, befall) =>
    onStage(async (stage) => {
      const image = stage.image('golden.img', 8 * MIB);
      const source = make(stage, image.path);
      const copy = stage.copyJson(...SHAPE, '--verify', source, stage.target('a'));
      await stage.sees('blocks', ({ bytesRead }) => bytesRead > 8 * BLOCK);
      befall(stage, source);
      await copy.good();
      expect(stage.difference('a', image.content)).toBe(null);
    }),
);

test.each(['raw', 'xz'])(
  'source - a reader of a %s image that is killed after the file was removed is replaced',
  (kind) =>
    onStage(async (stage) => {
      const image = stage.image('golden.img', 8 * MIB);
      if (kind === 'xz') stage.tool('xz', 'xz-utils', ['-0', '-k', '-T1', image.path]);
      const source = kind === 'xz' ? `${image.path}.xz` : image.path;
      const copy = stage.copyJson(...SHAPE, source, stage.target('a'));
      await stage.sees('blocks', ({ bytesRead }) => bytesRead > 8 * BLOCK);
      rmSync(source);
      const [producer] = stage.producers;
      process.kill(producer?.pid ?? 0, 'SIGKILL');
      await eventually('another reader', () => stage.producers.some(({ pid }) => pid !== producer?.pid));
      await copy.good();
      expect(stage.difference('a', image.content)).toBe(null);
    }),
);

test('source - what has the name later is another source', () =>
  onStage(async (stage) => {
    const image = stage.image('golden.img', 8 * MIB);
    const first = stage.copyJson(...SHAPE, image.path, stage.target('a'));
    await stage.sees('blocks', ({ bytesRead }) => bytesRead > 8 * BLOCK);
    replaced(stage, image.path);
    const late = await stage.copyJson(image.path, stage.target('b')).good();
    expect(late.bytesCopied).toBe(8 * MIB);
    expect(stage.difference('b', randomBytesOf(77, 8 * MIB))).toBe(null);
    await first.good();
    expect(stage.difference('a', image.content)).toBe(null);
  }));

test.each([
  ['overwritten', (path: string) => writeFileSync(path, randomBytesOf(5, 8 * MIB))],
  ['appended to', (path: string) => appendFileSync(path, 'more')],
  [
    'removed after it was written',
    (path: string) => {
      appendFileSync(path, 'more');
      rmSync(path);
    },
  ],
])('source - a file that is %s in place has changed', (_, befall) =>
  onStage(async (stage) => {
    const image = stage.image('golden.img', 8 * MIB);
    const copy = stage.copyJson(...SHAPE, image.path, stage.target('a'));
    await stage.sees('blocks', ({ bytesRead }) => bytesRead > 8 * BLOCK);
    befall(image.path);
    const [target] = (await copy.result()).targets;
    expect(target?.error?.code).toBe('SOURCE_CHANGED');
    expect(stage.targets).not.toContain('a');
  }),
);

test('source - a file that the shell opened and that was removed before', () =>
  onStage(async (stage) => {
    const image = stage.image('golden.img', MIB);
    const script = `exec 0< ${image.path}; rm ${image.path}; exec "$@"`;
    const fromShell = stage.copy(['--json', '--quiet', '-', stage.target('a')], { wrap: ['sh', '-c', script, 'sh'] });
    await fromShell.good();
    expect(readFileSync(stage.target('a')).equals(image.content)).toBe(true);
  }));
