import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { CopyProgress, TargetProgress } from '../replication/mod.ts';
import { line } from './progress.ts';

const MIB = 1024 * 1024;

const target: TargetProgress = {
  uri: 'web7.img',
  state: 'copying',
  startBlock: 0,
  blocksWanted: 200,
  blocksLeft: 118,
  blocksVerified: 0,
  detached: false,
};
const progress: CopyProgress = {
  blockBytes: 4 * MIB,
  blocksTotal: 200,
  sizeKnown: true,
  sourceBytes: 0,
  bytesRead: 0,
  targets: [target],
};

describe('a progress line', () => {
  test.each<[string, Partial<TargetProgress>, Partial<CopyProgress>, number | null]>([
    ['web7.img  [########............]   41 %  118 MiB/s  4.0s left  copying', {}, {}, 118 * MIB],
    ['web7.img  [########............]   41 %  copying', {}, {}, null],
    ['web7.img  [########............]   41 %  copying', {}, {}, 0],
    [
      'web7.img  [########............]   41 %  waiting for the source, joined at 37 %',
      { state: 'waiting', startBlock: 75 },
      {},
      null,
    ],
    ['web7.img  [########............]   41 %  copying, at its own pace', { detached: true }, {}, null],
    ['web7.img  [####################]  100 %  flushing', { state: 'flushing', blocksLeft: 0 }, {}, 118 * MIB],
    [
      'web7.img  [##########..........]   50 %  verifying',
      { state: 'verifying', blocksLeft: 0, blocksVerified: 100 },
      {},
      null,
    ],
    ['web7.img  [####################]  100 %  done', { state: 'done', blocksWanted: 0, blocksLeft: 0 }, {}, null],
    [
      'web7.img  [....................]    0 %  starting',
      { state: 'starting', startBlock: -1, blocksWanted: 0, blocksLeft: 0 },
      {},
      null,
    ],
    ['web7.img  [????????????????????]       2.00 MiB/s  copying', {}, { sizeKnown: false }, 2 * MIB],
    ['web7.img  [########............]   41 %  failed', { state: 'failed' }, {}, null],
  ])('%s', (wanted, ofTarget, ofCopy, rate) => {
    expect(line({ ...target, ...ofTarget }, { ...progress, ...ofCopy }, rate)).toBe(wanted);
  });

  test('has a bar of twenty cells and a share from 0 to 100, whatever there is to show', () => {
    const states = fc.constantFrom<TargetProgress['state'][]>('copying', 'waiting', 'verifying', 'done', 'failed');
    fc.assert(
      fc.property(
        fc.nat({ max: 999 }),
        fc.nat({ max: 999 }),
        fc.nat({ max: 2000 }),
        states,
        (a, b, verified, state) => {
          const blocks = { blocksWanted: Math.max(a, b), blocksLeft: Math.min(a, b), blocksVerified: verified };
          const text = line({ ...target, ...blocks, state }, progress, null);
          const match = /\[([#.]{20})\] +(\d+) %/.exec(text);
          expect(Number(match?.[2])).toBeLessThanOrEqual(100);
          expect(match?.[1]).toMatch(/^#*\.*$/);
        },
      ),
    );
  });
});
