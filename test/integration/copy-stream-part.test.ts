// A part of a stream whose length nobody knows is complete before the stream has come to its end.
import { createReadStream } from 'node:fs';
import { pipeline } from 'node:stream';
import { expect, test } from 'vitest';
import { onStage } from '../rig/stage.ts';

const MIB = 1024 * 1024;

test('source - the first bytes of standard input', () =>
  onStage(async (stage) => {
    const image = stage.image('golden.img', 3 * MIB);
    const shape = ['--block-size', '64K', '--bytes', '1000000', '--verify'];
    const copy = stage.copy(['--json', '--quiet', ...shape, '-', stage.target('a')], { stdin: 'pipe' });
    // Nobody reads the rest: the pipe breaks, which is all right.
    let broke: NodeJS.ErrnoException | null = null;
    pipeline(createReadStream(image.path), copy.child.stdin as NodeJS.WritableStream, (error) => {
      broke = error;
    });
    await copy.good();
    expect(stage.difference('a', stage.allow(image.content.subarray(0, 1_000_000)))).toBe(null);
    expect([null, 'EPIPE']).toContain((broke as NodeJS.ErrnoException | null)?.code ?? null);
  }));
