import { expect, test } from 'vitest';
import { offsetsOf, Ring } from '../ring/mod.ts';
import type { ResumeRecord } from '../target/mod.ts';
import { Ledger } from './ledger.ts';
import type { ConsumerTask } from './options.ts';
import { planNeeds } from './plan.ts';

const BLOCK_BYTES = 4096;

const task: ConsumerTask = {
  source: { kind: 'nbd', uri: 'nbd://x', identity: 'nbd://x' } as unknown as ConsumerTask['source'],
  target: {
    kind: 'nbd',
    uri: 'nbd://y',
    path: 'nbd://y',
    identity: 'nbd://y',
    direct: false,
    mayOverwrite: true,
    doubt: null,
  },
  extent: { endBytes: null, skip: [] },
  join: 'oldest',
  pace: false,
  onReadError: 'fail',
  verify: false,
  resume: true,
  resumable: true,
  limitRate: null,
  digest: false,
  expect: null,
  gpt: 'keep',
  stored: null,
};

function planWith(sourceBytes: number | null, done: readonly number[]): { needs: number[]; done: number[] } {
  const geometry = { blockBytes: BLOCK_BYTES, blockCapacity: 8, slotCount: 4 };
  const ring = new Ring(new ArrayBuffer(offsetsOf(geometry).totalBytes), geometry, { wait() {}, wakeAll() {} });
  ring.set('blockCount', sourceBytes === null ? 8 : Math.ceil(sourceBytes / BLOCK_BYTES));
  ring.set('sizeKnown', sourceBytes === null ? 0 : 1);
  ring.setDouble('sourceBytes', sourceBytes ?? 0);
  ring.setText('fingerprint', 'as before');
  const bitmap = new Uint8Array(1);
  for (const block of done) bitmap[0] = (bitmap[0] ?? 0) | (1 << block);
  const record: ResumeRecord = {
    version: 2,
    target: 'nbd://y',
    sourceIdentity: 'nbd://x',
    fingerprint: 'as before',
    sourceBytes: 4 * BLOCK_BYTES - 100,
    endBytes: 0,
    blockBytes: BLOCK_BYTES,
    blockCount: 4,
    missingCount: 0,
    done: bitmap,
    digests: new Uint8Array(4 * 16).fill(1),
  };
  const ledger = new Ledger(ring, Number.POSITIVE_INFINITY, () => ({ lo: 1n, hi: 1n }), false);
  const { needs } = planNeeds(task, ring, record, ledger);
  const blocks = Array.from({ length: 8 }, (_, block) => block);
  return { needs: blocks.filter((block) => needs.has(block)), done: blocks.filter((block) => ledger.done.has(block)) };
}

test('a resumed copy needs what it does not have', () => {
  expect(planWith(4 * BLOCK_BYTES - 100, [0, 1, 3])).toEqual({ needs: [2], done: [0, 1, 3] });
});

// Otherwise the first reading beyond the end gave nothing, and the image became whole blocks long. It is not done before: it
// would be verified in the shadow of the sweep as if it were a whole block.
test('a resumed copy of a stream reads the block again that tells where the stream ends', () => {
  expect(planWith(null, [0, 1, 2, 3])).toEqual({ needs: [3, 4, 5, 6, 7], done: [0, 1, 2] });
});
