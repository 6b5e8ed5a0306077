// --gather: a first copy waits for others before it reads. nbdkit's log tells what was read, and how often.
import { expect, test } from 'vitest';
import { randomBytesOf } from '../rig/content.ts';
import { GatedSource } from '../rig/gated-source.ts';
import { patience } from '../rig/patience.ts';
import { onStage, type Stage } from '../rig/stage.ts';

const BLOCK = 64 * 1024;
const BLOCKS = 20;
const SHAPE = ['--block-size', String(BLOCK), '--buffer', String(8 * BLOCK), '--on-slow', 'pace'];
/** Enough for two programs to start and join, also on a busy machine. */
const GATHER_SECONDS = patience(3000) / 1000;

interface Scene {
  readonly stage: Stage;
  readonly source: GatedSource;
  readonly content: Buffer;
}

function onScene(play: (scene: Scene) => Promise<void>, openBlocks = BLOCKS): Promise<void> {
  return onStage(async (stage) => {
    const content = randomBytesOf(23, BLOCKS * BLOCK);
    await play({ stage, content, source: await GatedSource.start(stage, content, openBlocks * BLOCK) });
  });
}

function joined(stage: Stage, count: number) {
  return stage.sees(`${count} have joined`, ({ consumers }) => consumers.length === count);
}

function expectOneReading({ stage, source, content }: Scene): void {
  expect(source.bytesRead).toBe(content.length);
  expect(source.reads.map(({ offsetBytes }) => offsetBytes / BLOCK)).toEqual([...Array(BLOCKS).keys()]);
  for (const name of stage.targets) expect([name, stage.difference(name, content)]).toEqual([name, null]);
}

test('gather - copies that come while the first one waits start with it: one sweep, and each block read once', () =>
  onScene(async (scene) => {
    const { stage, source } = scene;
    const copies = [stage.copyJson(...SHAPE, '--gather', `${GATHER_SECONDS}s`, source.uri, stage.target('t0'))];
    const waiting = await joined(stage, 1);
    expect(waiting.gatherMs).toBeGreaterThan(0);
    expect(waiting.gatherMs).toBeLessThanOrEqual(GATHER_SECONDS * 1000);
    const shown = stage.run(['copies']);
    expect((await shown.ended).status).toBe(0);
    expect(shown.stdout).toMatch(/ {2}gathers copies for [0-9.]+s more, reader \d+\n/);
    copies.push(stage.copyJson('--on-slow', 'pace', source.uri, stage.target('t1'), stage.target('t2')));
    copies.push(stage.copyJson('--on-slow', 'pace', '--join', 'newest', source.uri, stage.target('t3')));
    const all = await joined(stage, 4);
    expect([all.bytesRead, all.gatherMs > 0, source.reads]).toEqual([0, true, []]);
    for (const copy of copies) {
      const { ok, producer, targets } = await copy.result();
      expect([ok, producer, targets.map(({ startBlock }) => startBlock)]).toEqual([
        true,
        { bytesRead: BLOCKS * BLOCK, sweeps: 1 },
        targets.map(() => 0),
      ]);
    }
    expectOneReading(scene);
  }));

test('gather - interrupted while it waits, nothing was read and nothing is left', () =>
  onScene(async ({ stage, source }) => {
    const copy = stage.copyJson(...SHAPE, '--gather', '1h', source.uri, stage.target('a'));
    await joined(stage, 1);
    copy.signal('SIGINT');
    expect((await copy.ended).status).toBe(130);
    expect(source.reads).toEqual([]);
  }));

test('gather - the others go on when the one that wanted to wait is killed, and so do they when the reader is', () =>
  onScene(async (scene) => {
    const { stage, source } = scene;
    const first = stage.copyJson(...SHAPE, '--gather', `${GATHER_SECONDS}s`, source.uri, stage.target('a'));
    await joined(stage, 1);
    const second = stage.copyJson('--on-slow', 'pace', source.uri, stage.target('b'));
    const { producerPid } = await joined(stage, 2);
    await first.kill('SIGKILL');
    process.kill(producerPid, 'SIGKILL');
    const after = await stage.sees('another reader', (copy) => copy.producerPid !== producerPid);
    expect([after.gatherMs > 0, source.reads]).toEqual([true, []]);
    expect((await second.result()).producer).toEqual({ bytesRead: BLOCKS * BLOCK, sweeps: 1 });
    expect(stage.difference('b', scene.content)).toBe(null);
    expect(source.bytesRead).toBe(BLOCKS * BLOCK);
  }));

test('gather - has no effect on a copy that joins', () =>
  onScene(async ({ stage, source, content }) => {
    const first = stage.copyJson(...SHAPE, source.uri, stage.target('a'));
    await stage.sees('half of it', ({ consumers }) => consumers[0]?.blocksLeft === BLOCKS / 2);
    const second = stage.copyJson('--gather', '1h', source.uri, stage.target('b'));
    expect((await joined(stage, 2)).gatherMs).toBe(0);
    source.open();
    for (const copy of [first, second]) expect((await copy.result()).ok).toBe(true);
    for (const name of stage.targets) expect(stage.difference(name, content)).toBe(null);
  }, BLOCKS / 2));

test.each(['0', '0s'])('gather - %s is the default: nothing is waited for', (time) =>
  onScene(async (scene) => {
    await scene.stage.copyJson(...SHAPE, '--gather', time, scene.source.uri, scene.stage.target('a')).good();
    expectOneReading(scene);
  }),
);

test.each(['-1s', '25h', '10', 'soon'])('gather - %s is a mistake of usage', (time) =>
  onScene(async ({ stage, source }) => {
    const copy = stage.copy(['--quiet', '--gather', time, source.uri, stage.target('a')]);
    expect((await copy.ended).status).toBe(2);
    expect(stage.targets).toEqual([]);
  }),
);
