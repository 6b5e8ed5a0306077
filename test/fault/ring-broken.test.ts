// Rings of real processes that another program of the same user cuts short or overwrites: every copy ends, by name.
import { closeSync, ftruncateSync, openSync, readdirSync, statSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { expectFailure, failureOf } from '../rig/failure.ts';
import { onStage, type Stage } from '../rig/stage.ts';
import { eventually } from '../rig/wait.ts';

const MIB = 1024 * 1024;
const SHAPE = ['--block-size', '64K', '--buffer', '512K'];

/** The one ring of the stage, open. */
function ringOf(stage: Stage): number {
  const name = readdirSync(stage.runtime).find((one) => one.endsWith('.ring'));
  return openSync(join(stage.runtime, name ?? 'none'), 'r+');
}

async function whileCopying(stage: Stage, harm: (fd: number, bytes: number) => void): Promise<void> {
  const image = stage.image('golden.img', 8 * MIB);
  const copies = ['a', 'b'].map((name) =>
    stage.copyJson(...SHAPE, '--verify', '--limit', '1M', image.path, stage.target(name)),
  );
  await stage.sees('both', ({ consumers }) => consumers.length === 2 && consumers.every((one) => one.blocksLeft < 120));
  const fd = ringOf(stage);
  harm(fd, statSync(`/proc/self/fd/${fd}`).size);
  closeSync(fd);
  for (const copy of copies) await expectFailure(copy, 'RING_BROKEN', /shared memory/);
  // What was written before is gone on with, in a ring of its own.
  await eventually('the reader has ended', () => stage.producers.length === 0);
  const again = stage.copyJson(...SHAPE, '--verify', '--resume', '--yes', image.path, stage.target('a'));
  expect((await again.good()).verified).toBe(true);
  expect(stage.difference('a', image.content)).toBe(null);
}

test.each([
  ['to nothing', () => 0],
  ['to its header', () => 4096],
  ['to its tables', (bytes: number) => bytes - 512 * 1024],
])('ring - cut short %s: each copy ends by name, and the next begins afresh', (_, left) =>
  onStage((stage) => whileCopying(stage, (fd, bytes) => ftruncateSync(fd, left(bytes)))),
);

test('ring - overwritten with garbage: each copy ends by name', () =>
  onStage((stage) => whileCopying(stage, (fd) => void writeSync(fd, Buffer.alloc(512, 0x5a), 0, 512, 0))));

test('ring - overwritten with garbage before anybody joins: the newcomer is told, and so is `copies`', () =>
  onStage(async (stage) => {
    const image = stage.image('golden.img', 4 * MIB);
    const first = stage.copyJson(...SHAPE, '--limit', '1M', image.path, stage.target('a'));
    await stage.sees('it', ({ consumers }) => consumers.length === 1);
    const fd = ringOf(stage);
    // The number of slots.
    writeSync(fd, Buffer.from([3, 0, 0, 0]), 0, 4, 8 * 4);
    closeSync(fd);
    const second = stage.copyJson(...SHAPE, image.path, stage.target('b'));
    expect(['RING_BROKEN', 'none']).toContain((await failureOf(second)).code);
    await expectFailure(first, 'RING_BROKEN', /geometry|source/);
    expect(await stage.copies()).toEqual([]);
  }));
