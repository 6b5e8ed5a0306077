// Servers that fall silent: nothing waits for ever. These tests last as long as the engine's time-out, so they wait for it
// together.
import { expect, test } from 'vitest';
import { limits } from '../../src/base/mod.ts';
import { expectFailure } from '../rig/failure.ts';
import { patience } from '../rig/patience.ts';
import { onStage } from '../rig/stage.ts';
import { RogueServer } from '../support/nbd-server.ts';

const MIB = 1024 * 1024;
const SHAPE = ['--block-size', '64K', '--buffer', '512K'];
const OPTIONS = { timeout: patience(4 * limits.IO_TIMEOUT_MS) };

test.concurrent('hang - a source that stops answering ends the copy after the time-out', OPTIONS, () =>
  onStage(async (stage) => {
    const image = stage.image('golden.img', 6 * MIB);
    const server = await stage.nbdkit({ plugin: ['file', image.path] });
    const copy = stage.copyJson(...SHAPE, '--limit', '1M', server.uri, stage.target('a'));
    await stage.sees('ten blocks', ({ consumers }) => (consumers[0]?.blocksLeft ?? 96) < 86);
    server.signal('SIGSTOP');
    await expectFailure(copy, 'SOURCE_TIMEOUT', /./);
    expect(stage.targets).not.toContain('a');
    server.signal('SIGCONT');
  }),
);

test.concurrent('hang - a target that stops answering fails alone', OPTIONS, () =>
  onStage(async (stage) => {
    const image = stage.image('golden.img', 6 * MIB);
    const server = await stage.nbdkit({ plugin: ['memory', '6M'] });
    const copy = stage.copyJson('--yes', ...SHAPE, '--limit', '1M', image.path, server.uri, stage.target('b'));
    await stage.sees(
      'ten blocks',
      ({ consumers }) => consumers.length === 2 && consumers.every((one) => one.blocksLeft < 86),
    );
    server.signal('SIGSTOP');
    await expectFailure(copy, 'TARGET_TIMEOUT', /./);
    expect((await copy.result()).targets[1]).toMatchObject({ ok: true });
    expect(stage.difference('b', image.content)).toBe(null);
    server.signal('SIGCONT');
  }),
);

test.concurrent.each(['silent', 'mute'])('hang - a server that is %s from the start is given up', OPTIONS, (mode) =>
  onStage(async (stage) => {
    const server = await RogueServer.start(mode);
    stage.defer(() => server.stop());
    await expectFailure(stage.copyJson(server.uri, stage.target('a')), 'SOURCE_TIMEOUT', /./);
    expect(stage.targets.filter((name) => !name.includes('.partial'))).toEqual([]);
  }),
);
