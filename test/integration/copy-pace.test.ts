// Rates: a limit that holds, a slow target that holds up nobody, or everybody when asked to.
import { createReadStream, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { randomBytesOf } from '../rig/content.ts';
import { onStage, type Stage } from '../rig/stage.ts';

const MIB = 1024 * 1024;
const SHAPE = ['--block-size', '256K', '--buffer', '2M'];

/** An NBD target that takes `mibPerSecond`, whatever is thrown at it. */
function slowTarget(stage: Stage, sizeBytes: number, mibPerSecond: number) {
  return stage.nbdkit({
    filters: ['rate'],
    plugin: ['file', 'FOLDER/disk', `rate=${mibPerSecond * 8}M`, 'burstiness=0.1'],
    files: { disk: Buffer.alloc(sizeBytes) },
  });
}

test('limit - a target gets the bytes a second that it was allowed, within a tenth', () =>
  onStage(async (stage) => {
    const image = stage.image('golden.img', 16 * MIB);
    const { seconds } = await stage
      .copyJson('--block-size', '128K', '--limit', '4M', image.path, stage.target('a'))
      .good();
    expect(seconds).toBeGreaterThan(4 * 0.9);
    // The start of the producer and the flush at the end are not copying.
    expect(seconds).toBeLessThan(4 * 1.1 + 1.5);
    expect(stage.difference('a', image.content)).toBe(null);
  }));

test('limit - is each target own: another one is as fast as it can', () =>
  onStage(async (stage) => {
    const image = stage.image('golden.img', 12 * MIB);
    const limited = stage.copyJson(...SHAPE, '--limit', '3M', image.path, stage.target('a'));
    await stage.sees('the first', ({ consumers }) => (consumers[0]?.startBlock ?? -1) >= 0);
    const free = await stage.copyJson(image.path, stage.target('b')).good();
    expect(free.seconds).toBeLessThan((await limited.good()).seconds / 1.5);
    expect([stage.difference('a', image.content), stage.difference('b', image.content)]).toEqual([null, null]);
  }));

test('slow - one slow target of four is detached, the others go on at full speed, and it still gets everything', () =>
  onStage(async (stage) => {
    const image = stage.image('golden.img', 24 * MIB);
    const slow = await slowTarget(stage, 24 * MIB, 3);
    const names = ['a', 'b', 'c'].map((name) => stage.target(name));
    // Limited, so that the three are still there to be seen when the slow one has been left behind.
    const copy = stage.copyJson(...SHAPE, '--yes', '--limit', '12M', image.path, slow.uri, ...names);
    const { consumers } = await stage.sees('the slow one apart', (running) =>
      running.consumers.some(({ state }) => state === 'detached'),
    );
    expect(consumers.filter(({ state }) => state === 'detached').map(({ target }) => target)).toEqual([slow.uri]);
    const result = await copy.result();
    expect(result.ok).toBe(true);
    const [apart, ...others] = result.targets.map(({ seconds }) => seconds);
    expect(apart).toBeGreaterThan(5);
    expect(Math.max(...others)).toBeLessThan((apart ?? 0) / 2);
    expect(stage.difference(`${slow.folder}/disk`, image.content)).toBe(null);
    for (const name of stage.targets) expect(stage.difference(name, image.content)).toBe(null);
  }));

test('slow - a target that hangs holds up the others for a quarter of a second, by the account of the ring itself', () =>
  onStage(async (stage) => {
    const image = stage.image('golden.img', 24 * MIB);
    // Its writes wait until they are let go.
    const hanging = await stage.nbdkit({
      plugin: [
        'eval',
        'get_size=stat -Lc %s FOLDER/disk',
        'pread=dd if=FOLDER/disk iflag=skip_bytes,count_bytes skip=$4 count=$3 bs=64K status=none',
        'pwrite=if [ $4 -gt 0 ]; then while [ ! -e FOLDER/go ]; do sleep 0.02; done; fi; ' +
          'dd of=FOLDER/disk conv=notrunc oflag=seek_bytes seek=$4 bs=64K iflag=fullblock status=none',
        'can_write=exit 0',
        'can_flush=exit 0',
        'flush=exit 0',
      ],
      files: { disk: Buffer.alloc(24 * MIB) },
    });
    const names = ['a', 'b'].map((name) => stage.target(name));
    const copy = stage.copyJson(...SHAPE, '--yes', image.path, hanging.uri, ...names);
    const seen = await stage.sees('only the hanging one left', ({ consumers }) => {
      return consumers.length === 1 && consumers[0]?.target === hanging.uri;
    });
    // Whatever it did not get goes by without it: the others have everything.
    expect([stage.difference('a', image.content), stage.difference('b', image.content)]).toEqual([null, null]);
    expect(seen.consumers[0]?.heldUpMs).toBeGreaterThanOrEqual(250);
    // A look more, which a busy machine may bring late.
    expect(seen.consumers[0]?.heldUpMs).toBeLessThan(1000);
    writeFileSync(join(hanging.folder, 'go'), '');
    expect((await copy.result()).ok).toBe(true);
    expect(stage.difference(join(hanging.folder, 'disk'), image.content)).toBe(null);
  }));

test('slow - with --on-slow pace everybody waits for the slowest', () =>
  onStage(async (stage) => {
    const image = stage.image('golden.img', 16 * MIB);
    const slow = await slowTarget(stage, 16 * MIB, 4);
    const copy = stage.copyJson(...SHAPE, '--yes', '--on-slow', 'pace', image.path, slow.uri, stage.target('a'));
    const result = await copy.result();
    expect(result.ok).toBe(true);
    expect(result.producer).toEqual({ bytesRead: 16 * MIB, sweeps: 1 });
    const [slowest = 0, other = 0] = result.targets.map(({ seconds }) => seconds);
    expect(slowest).toBeGreaterThan(3);
    // The ring and what is in flight is all that the other can be ahead.
    expect(other).toBeGreaterThan(slowest * 0.6);
  }));

test('slow - a stopped copy holds up nobody, and completes when it is continued', () =>
  onStage(async (stage) => {
    const image = stage.image('golden.img', 24 * MIB);
    const stopped = stage.copyJson(...SHAPE, '--limit', '8M', image.path, stage.target('a'));
    await stage.sees('a few blocks', ({ consumers }) => (consumers[0]?.blocksLeft ?? 96) < 90);
    stopped.signal('SIGSTOP');
    await stage.copyJson(image.path, stage.target('b')).good();
    expect(stage.difference('b', image.content)).toBe(null);
    expect(stopped.running).toBe(true);
    stopped.signal('SIGCONT');
    await stopped.good();
    expect(stage.difference('a', image.content)).toBe(null);
  }));

test('slow - a stream is never detached from: it could not come back', () =>
  onStage(async (stage) => {
    const image = stage.write('golden.img', randomBytesOf(3, 12 * MIB));
    const slow = await slowTarget(stage, 12 * MIB, 4);
    const copy = stage.copy(['--json', '--quiet', '--yes', ...SHAPE, '-', slow.uri, stage.target('a')], {
      stdin: 'pipe',
    });
    createReadStream(image.path).pipe(copy.child.stdin as NodeJS.WritableStream);
    expect((await copy.result()).targets.map(({ error }) => error)).toEqual([null, null]);
    expect(stage.difference(`${slow.folder}/disk`, image.content)).toBe(null);
    expect(stage.difference('a', image.content)).toBe(null);
  }));
