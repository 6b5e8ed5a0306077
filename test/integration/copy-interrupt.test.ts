// Ctrl-C ends this process's targets, and only these; they can be resumed, and the program says so.
import { expect, test } from 'vitest';
import { randomBytesOf } from '../rig/content.ts';
import { GatedSource } from '../rig/gated-source.ts';
import { onStage } from '../rig/stage.ts';

const BLOCK = 64 * 1024;
const SHAPE = ['--block-size', '64K', '--buffer', '512K'];

test.each(['SIGINT', 'SIGTERM'] as const)('interrupt - %s stops this process, the other copy goes on', (signal) =>
  onStage(async (stage) => {
    const content = randomBytesOf(13, 40 * BLOCK);
    const source = await GatedSource.start(stage, content, 20 * BLOCK);
    const first = stage.copy([...SHAPE, source.uri, stage.target('a1'), stage.target('a2')]);
    await stage.sees(
      'half of it',
      ({ consumers }) => consumers.length === 2 && consumers.every((one) => one.blocksLeft === 20),
    );
    const second = stage.copyJson(source.uri, stage.target('b'));
    await stage.sees('b', ({ consumers }) =>
      consumers.some((one) => one.target === stage.target('b') && one.startBlock >= 0),
    );
    first.signal(signal);
    expect(await first.ended).toEqual({ status: 130, signal: null });
    for (const name of ['a1', 'a2']) {
      expect(first.stderr).toContain(
        `understudy: ${stage.target(name)}: the copy was stopped (INTERRUPTED); --resume goes on from here`,
      );
    }
    source.open();
    await second.good();
    expect(stage.difference('b', content)).toBe(null);
    const resumed = stage.copyJson('--resume', ...SHAPE, source.uri, stage.target('a1'), stage.target('a2'));
    const result = await resumed.result();
    expect(result.targets.map((target) => target.ok && target.bytesReused > 0)).toEqual([true, true]);
    expect([stage.difference('a1', content), stage.difference('a2', content)]).toEqual([null, null]);
    expect(stage.targets).toEqual(['a1', 'a2', 'b']);
  }),
);

test('interrupt - before the first block has come', () =>
  onStage(async (stage) => {
    const source = await GatedSource.start(stage, randomBytesOf(13, 4 * BLOCK), 0);
    const copy = stage.copyJson(...SHAPE, source.uri, stage.target('a'));
    await stage.sees('it has joined', ({ consumers }) => consumers.length === 1);
    copy.signal('SIGINT');
    expect((await copy.ended).status).toBe(130);
    expect((await copy.result()).targets[0]?.error?.code).toBe('INTERRUPTED');
    source.open();
  }));

test('interrupt - while the targets are verified', () =>
  onStage(async (stage) => {
    const content = randomBytesOf(13, 64 * BLOCK);
    stage.write('golden.img', content);
    const server = await stage.nbdkit({
      filters: ['delay'],
      plugin: ['memory', '4M', 'rdelay=200ms'],
    });
    const copy = stage.copyJson(...SHAPE, '--yes', '--verify', stage.path('golden.img'), server.uri);
    await stage.sees(
      'it verifies',
      ({ consumers }) => consumers[0]?.state === 'verifying' && consumers[0].blocksLeft === 0,
    );
    copy.signal('SIGINT');
    expect((await copy.ended).status).toBe(130);
    expect((await copy.result()).targets[0]).toMatchObject({
      ok: false,
      verified: false,
      error: { code: 'INTERRUPTED' },
    });
  }));
