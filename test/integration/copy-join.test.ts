// Requests that come later join the copy that is already running. The source is a gated one, so each test knows to the
// block where the producer stands when somebody joins, and nbdkit's log tells what was read, and how often.
import { expect, test } from 'vitest';
import { randomBytesOf } from '../rig/content.ts';
import { GatedSource } from '../rig/gated-source.ts';
import { patience } from '../rig/patience.ts';
import { onStage, type Stage } from '../rig/stage.ts';
import { eventually } from '../rig/wait.ts';

const BLOCK = 64 * 1024;
const BLOCKS = 40;
const SLOTS = 8;
const SHAPE = ['--block-size', String(BLOCK), '--buffer', String(SLOTS * BLOCK)];
/** Where reads are counted: on a busy machine anybody may seem slow for a moment, be detached, and come back for more. */
const PACED = ['--on-slow', 'pace'];

interface Scene {
  readonly stage: Stage;
  readonly source: GatedSource;
  readonly content: Buffer;
}

/** A source whose first `blocks` can be read, of an image of `BLOCKS` blocks, the last one short. */
function onGate(blocks: number, play: (scene: Scene) => Promise<void>): Promise<void> {
  return onStage(async (stage) => {
    const content = randomBytesOf(17, BLOCKS * BLOCK - 1000);
    await play({ stage, content, source: await GatedSource.start(stage, content, blocks * BLOCK) });
  });
}

/** Waits until the copy to a target has everything up to the gate, and the producer waits there. */
function standsAt(stage: Stage, name: string, block: number) {
  return stage.sees(`${name} has ${block} blocks`, ({ consumers }) =>
    consumers.some(({ target, blocksLeft }) => target === stage.target(name) && blocksLeft === BLOCKS - block),
  );
}

function joined(stage: Stage, name: string) {
  return stage.sees(`${name} has joined`, ({ consumers }) =>
    consumers.some(({ target, startBlock }) => target === stage.target(name) && startBlock >= 0),
  );
}

/** How often each block was read, by nbdkit's count. */
function readCounts({ source }: Scene): number[] {
  const counts = Array.from({ length: BLOCKS }, () => 0);
  for (const { offsetBytes } of source.reads) counts[offsetBytes / BLOCK] = (counts[offsetBytes / BLOCK] ?? 0) + 1;
  return counts;
}

function twiceBelow(startBlock: number): number[] {
  return Array.from({ length: BLOCKS }, (_, block) => (block < startBlock ? 2 : 1));
}

test('join - a late copy starts at the oldest block in the ring, wraps, and costs only what it missed', () =>
  onGate(20, async (scene) => {
    const { stage, source, content } = scene;
    const first = stage.copyJson(...PACED, ...SHAPE, source.uri, stage.target('a'));
    await standsAt(stage, 'a', 20);
    const second = stage.copyJson(...PACED, source.uri, stage.target('b'));
    const running = await joined(stage, 'b');
    source.open();
    const [a, b] = [await first.good(), await second.good()];
    expect(a.startBlock).toBe(0);
    // Of eight slots four hold blocks that nobody lost; the others are claimed by the reads that wait at the gate.
    expect(b.startBlock).toBeLessThanOrEqual(16);
    expect(b.startBlock).toBeGreaterThanOrEqual(20 - SLOTS);
    expect(running.consumers.map(({ target, startBlock }) => [target, startBlock])).toEqual([
      [stage.target('a'), 0],
      [stage.target('b'), b.startBlock],
    ]);
    expect([stage.difference('a', content), stage.difference('b', content)]).toEqual([null, null]);
    expect(readCounts(scene)).toEqual(twiceBelow(b.startBlock));
    expect((await second.result()).producer.sweeps).toBe(2);
  }));

test('join --join newest - a late copy starts at the block that the producer wrote last', () =>
  onGate(20, async (scene) => {
    const { stage, source, content } = scene;
    const first = stage.copyJson(...PACED, ...SHAPE, source.uri, stage.target('a'));
    await standsAt(stage, 'a', 20);
    const second = stage.copyJson(...PACED, '--join', 'newest', source.uri, stage.target('b'));
    const { position } = await joined(stage, 'b');
    source.open();
    const [a, b] = [await first.good(), await second.good()];
    expect(b.startBlock).toBe(19);
    // The position is the block read next; up to four reads wait at the gate.
    expect(position - b.startBlock).toBeGreaterThanOrEqual(1);
    expect(position - b.startBlock).toBeLessThanOrEqual(5);
    expect(a.bytesCopied).toBe(content.length);
    expect([stage.difference('a', content), stage.difference('b', content)]).toEqual([null, null]);
    expect(readCounts(scene)).toEqual(twiceBelow(19));
  }));

test('join - four copies that start at different times share two sweeps', () =>
  onGate(6, async (scene) => {
    const { stage, source, content } = scene;
    const copies = [stage.copyJson(...PACED, ...SHAPE, source.uri, stage.target('t0'))];
    for (const [index, gate] of [6, 16, 30].entries()) {
      source.open(gate * BLOCK);
      await standsAt(stage, 't0', gate);
      copies.push(stage.copyJson(...PACED, source.uri, stage.target(`t${index + 1}`)));
      await joined(stage, `t${index + 1}`);
    }
    source.open();
    const results = await Promise.all(copies.map((copy) => copy.good()));
    const starts = results.map((target) => target.startBlock);
    expect(starts).toEqual([...starts].sort((a, b) => a - b));
    for (const name of stage.targets) expect([name, stage.difference(name, content)]).toEqual([name, null]);
    expect(stage.targets).toEqual(['t0', 't1', 't2', 't3']);
    expect(readCounts(scene)).toEqual(twiceBelow(Math.max(...starts)));
  }));

test('join - the earlier copy ends first, and the producer goes on for the later one alone', () =>
  onGate(20, async ({ stage, source, content }) => {
    const first = stage.copyJson(...SHAPE, source.uri, stage.target('a'));
    const { producerPid } = await standsAt(stage, 'a', 20);
    const second = stage.copyJson('--limit', '600K', source.uri, stage.target('b'));
    await joined(stage, 'b');
    source.open();
    await first.good();
    const [left] = await stage.copies();
    expect(left?.consumers.map(({ target }) => target)).toEqual([stage.target('b')]);
    expect(left?.producerPid).toBe(producerPid);
    expect(stage.difference('a', content)).toBe(null);
    await second.good();
    expect(stage.difference('b', content)).toBe(null);
  }));

test('join - copies tells who is where, in the documented shape', () =>
  onGate(12, async ({ stage, source }) => {
    expect(await stage.copies()).toEqual([]);
    const copy = stage.copyJson(...SHAPE, source.uri, stage.target('a'));
    const running = await standsAt(stage, 'a', 12);
    expect(running).toEqual({
      source: source.uri,
      producerPid: stage.producers[0]?.pid,
      bytesRead: 12 * BLOCK,
      blockSize: BLOCK,
      blocksTotal: BLOCKS,
      position: expect.any(Number),
      gatherMs: 0,
      consumers: [
        {
          pid: copy.pid,
          target: stage.target('a'),
          startBlock: 0,
          blocksLeft: BLOCKS - 12,
          state: expect.any(String),
          heldUpMs: 0,
        },
      ],
    });
    const text = stage.run(['copies']);
    expect((await text.ended).status).toBe(0);
    expect(text.stdout).toContain(`${stage.target('a')}  `);
    source.open();
    await copy.good();
    expect(await stage.copies()).toEqual([]);
  }));

/** `npm run proof:kills` has more of them. */
const START_ROUNDS = Number(process.env.UNDERSTUDY_START_ROUNDS ?? 8);

test(
  'join - two copies started in the same moment have one producer, again and again',
  { timeout: patience(240_000) },
  () =>
    onGate(0, async ({ stage, source, content }) => {
      for (let round = 0; round < START_ROUNDS; round++) {
        source.open(0);
        const names = [`a${round}`, `b${round}`];
        const copies = names.map((name) => stage.copyJson(...PACED, ...SHAPE, source.uri, stage.target(name)));
        const running = await eventually('both are in', async () => {
          const all = await stage.copies();
          return all.flatMap(({ consumers }) => consumers).length === 2 ? all : null;
        });
        expect(running).toHaveLength(1);
        expect(stage.producers.map(({ pid }) => pid)).toEqual([running[0]?.producerPid]);
        source.open();
        await Promise.all(copies.map((copy) => copy.good()));
        for (const name of names) expect(stage.difference(name, content)).toBe(null);
      }
      // Both were there before the first block was, so the whole of a round cost one reading.
      expect(source.reads.length).toBe(START_ROUNDS * BLOCKS);
    }),
);

test('join - SIGKILL of the first copy, which started the producer, ends nobody else', () =>
  onGate(20, async (scene) => {
    const { stage, source, content } = scene;
    const first = stage.copyJson(...PACED, ...SHAPE, source.uri, stage.target('a'));
    const { producerPid } = await standsAt(stage, 'a', 20);
    const second = stage.copyJson(...PACED, source.uri, stage.target('b'));
    await joined(stage, 'b');
    await first.kill('SIGKILL');
    source.open();
    const b = await second.good();
    expect(stage.difference('b', content)).toBe(null);
    // The record is there from before the first byte, and what a killed copy has written can be gone on with.
    expect(stage.targets).toEqual(['a.partial', 'a.partial.resume', 'b']);
    expect(producerPid).toBeGreaterThan(0);
    expect(readCounts(scene)).toEqual(twiceBelow(b.startBlock));
    // The room that was promised to the killed one is given back by the next command.
    expect(await stage.copies()).toEqual([]);
  }));

test('join - SIGKILL of the producer: another takes over, and no block is lost or read again without need', () =>
  onGate(20, async (scene) => {
    const { stage, source, content } = scene;
    const first = stage.copyJson(...PACED, ...SHAPE, source.uri, stage.target('a'), stage.target('b'));
    const before = await standsAt(stage, 'a', 20);
    const second = stage.copyJson(...PACED, source.uri, stage.target('c'));
    await joined(stage, 'c');
    process.kill(before.producerPid, 'SIGKILL');
    const after = await stage.sees('another producer', ({ producerPid }) => producerPid !== before.producerPid);
    expect(after.consumers).toHaveLength(3);
    source.open();
    const c = await second.good();
    expect((await first.result()).ok).toBe(true);
    for (const name of ['a', 'b', 'c']) expect(stage.difference(name, content)).toBe(null);
    const extra = readCounts(scene).reduce((sum, count) => sum + count, 0) - BLOCKS - c.startBlock;
    // What the dead one had been reading at the gate is read again.
    expect(extra).toBeLessThanOrEqual(SLOTS);
  }));

test('join - SIGKILL of three producers one after another', () =>
  onGate(5, async ({ stage, source, content }) => {
    const copy = stage.copyJson(...SHAPE, source.uri, stage.target('a'), stage.target('b'));
    let producerPid = 0;
    for (const gate of [5, 15, 25]) {
      source.open(gate * BLOCK);
      const running = await stage.sees(`another producer at ${gate}`, (one) => {
        const there = one.consumers.every(({ blocksLeft }) => blocksLeft === BLOCKS - gate);
        return one.producerPid !== producerPid && there && one.consumers.length === 2;
      });
      producerPid = running.producerPid;
      process.kill(producerPid, 'SIGKILL');
    }
    source.open();
    expect((await copy.result()).ok).toBe(true);
    for (const name of ['a', 'b']) expect(stage.difference(name, content)).toBe(null);
  }));

test('join - when the last copy is stopped the producer ends too, in the middle of the image', () =>
  onGate(20, async ({ stage, source }) => {
    const copy = stage.copyJson(...SHAPE, source.uri, stage.target('a'));
    const { producerPid } = await standsAt(stage, 'a', 20);
    copy.signal('SIGINT');
    expect((await copy.ended).status).toBe(130);
    source.open();
    await eventually('the producer has gone', () => stage.producers.length === 0);
    expect(producerPid).toBeGreaterThan(0);
    expect(source.reads.length).toBeLessThan(BLOCKS);
  }));

test('join - a copy that joins while the producer of a killed one is leaving gets a producer all the same', () =>
  onGate(BLOCKS, async ({ stage, source, content }) => {
    for (let round = 0; round < 4; round++) {
      const first = stage.copyJson(...SHAPE, '--limit', '256K', source.uri, stage.target(`a${round}`));
      await joined(stage, `a${round}`);
      first.signal('SIGKILL');
      await stage.copyJson(...SHAPE, source.uri, stage.target(`b${round}`)).good();
      expect(stage.difference(`b${round}`, content)).toBe(null);
      await first.ended;
    }
  }));
