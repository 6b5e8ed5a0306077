// More targets than a ring has rows for: they wait in line, in one process or in several, and join as others end.
import { expect, test } from 'vitest';
import { limits } from '../../src/base/mod.ts';
import { randomBytesOf } from '../rig/content.ts';
import { expectFailure } from '../rig/failure.ts';
import { GatedSource } from '../rig/gated-source.ts';
import { onStage, type Stage } from '../rig/stage.ts';

const BLOCK = 64 * 1024;
const SHAPE = ['--block-size', '64K', '--buffer', '512K'];

function targets(stage: Stage, count: number, prefix = 't'): string[] {
  return Array.from({ length: count }, (_, index) => stage.target(`${prefix}${index}`));
}

test('queue - 150 targets of one request', { timeout: 180_000 }, () =>
  onStage(async (stage) => {
    const content = randomBytesOf(3, 8 * BLOCK);
    const source = await GatedSource.start(stage, content, 4 * BLOCK);
    const names = targets(stage, 150);
    const copy = stage.copy(['--json', '--progress', 'json', ...SHAPE, source.uri, ...names]);
    await stage.sees('as many as there are rows', ({ consumers }) => consumers.length === limits.CONSUMERS_MAX);
    await copy.says('"state":"queued"');
    source.open();
    const result = await copy.result();
    expect(result.targets.map(({ ok, uri }) => (ok ? uri : null))).toEqual(names);
    for (const name of names) expect(stage.difference(name, content)).toBe(null);
  }),
);

test('queue - another process waits for a row, says so, and gets one', { timeout: 120_000 }, () =>
  onStage(async (stage) => {
    const content = randomBytesOf(3, 8 * BLOCK);
    const source = await GatedSource.start(stage, content, 4 * BLOCK);
    const names = targets(stage, limits.CONSUMERS_MAX);
    const full = stage.copyJson(...SHAPE, source.uri, ...names);
    await stage.sees('all rows are taken', ({ consumers }) => consumers.length === limits.CONSUMERS_MAX);
    const next = stage.copy(['--json', '--progress', 'json', source.uri, stage.target('next')]);
    const stopped = stage.copy(['--json', '--progress', 'json', source.uri, stage.target('stopped')]);
    await next.says('"state":"queued"');
    await stopped.says('"state":"queued"');
    stopped.signal('SIGINT');
    expect((await stopped.ended).status).toBe(130);
    expect((await stopped.result()).targets[0]?.error?.code).toBe('INTERRUPTED');
    source.open();
    expect((await full.result()).ok).toBe(true);
    await next.good();
    expect(stage.difference('next', content)).toBe(null);
    expect(stage.targets).not.toContain('stopped');
  }),
);

test(
  'queue - it is stopped: those that run are kept for --resume, those in line are not begun',
  { timeout: 120_000 },
  () =>
    onStage(async (stage) => {
      const source = await GatedSource.start(stage, randomBytesOf(3, 8 * BLOCK), 4 * BLOCK);
      const copy = stage.copyJson(...SHAPE, source.uri, ...targets(stage, 70));
      await stage.sees(
        'all rows are taken',
        ({ consumers }) => consumers.length === limits.CONSUMERS_MAX && consumers.every((one) => one.blocksLeft === 4),
      );
      copy.signal('SIGTERM');
      expect((await copy.ended).status).toBe(130);
      const { targets: results } = await copy.result();
      expect(results.map(({ error }) => error?.code)).toEqual(results.map(() => 'INTERRUPTED'));
      expect(results.filter(({ resumable }) => resumable)).toHaveLength(limits.CONSUMERS_MAX);
      source.open();
    }),
);

test('queue - the source fails: everybody hears of it', { timeout: 120_000 }, () =>
  onStage(async (stage) => {
    const content = randomBytesOf(3, 8 * BLOCK);
    const image = stage.write('golden.img', content);
    const copy = stage.copyJson('--block-size', '64K', '--bytes', '100M', image.path, ...targets(stage, 70));
    const { targets: results } = await copy.result();
    expect(results.map(({ error }) => error?.code)).toEqual(results.map(() => 'USAGE'));
    expect(stage.targets).toEqual([]);
  }),
);

test('queue - what can be read only once is refused before anything is written', () =>
  onStage(async (stage) => {
    const copy = stage.copy(['--json', '-', ...targets(stage, 65)], { stdin: 'pipe' });
    await expectFailure(
      copy,
      'RING_CONSUMERS_MAX',
      /standard input can be read only once, so at most 64 targets .* not 65/,
    );
    expect(stage.targets).toEqual([]);
  }));
