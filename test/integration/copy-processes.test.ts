// What runs when a copy runs: processes of their own around one shared memory, which sleep while there is nothing to do.
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { present } from '../../src/base/mod.ts';
import { randomBytesOf } from '../rig/content.ts';
import { GatedSource } from '../rig/gated-source.ts';
import { onStage, type Stage } from '../rig/stage.ts';

const BLOCK = 64 * 1024;
const SHAPE = ['--block-size', '64K', '--buffer', '512K'];

/** Two copies that have all that lies below the gate, and wait with their producer for the rest. */
async function atTheGate(stage: Stage) {
  const content = randomBytesOf(7, 24 * BLOCK);
  const source = await GatedSource.start(stage, content, 0);
  const copies = ['a', 'b'].map((name) => stage.copyJson(...SHAPE, source.uri, stage.target(name)));
  // Who came after a block had been read would wait for its second reading, beyond the gate.
  await stage.sees('both', ({ consumers }) => consumers.length === 2);
  source.open(12 * BLOCK);
  const running = await stage.sees(
    'both at the gate',
    ({ consumers }) => consumers.length === 2 && consumers.every(({ blocksLeft }) => blocksLeft === 12),
  );
  return { content, source, copies, running };
}

test('processes - producer and copies are processes of their own that map the same memory', () =>
  onStage(async (stage) => {
    const { content, source, copies, running } = await atTheGate(stage);
    const pids = [running.producerPid, ...copies.map(({ pid }) => pid)];
    expect(new Set(pids).size).toBe(3);
    const rings = pids.map((pid) => {
      const shared = readFileSync(`/proc/${pid}/maps`, 'utf8').matchAll(/ rw-s .* (\/\S+\.ring)$/gm);
      return [...new Set([...shared].map((line) => line[1]))];
    });
    expect(rings[0]).toEqual([expect.stringContaining(`${stage.runtime}/`)]);
    expect(rings.slice(1)).toEqual([rings[0], rings[0]]);
    source.open();
    for (const copy of copies) await copy.good();
    for (const name of ['a', 'b']) expect(stage.difference(name, content)).toBe(null);
  }));

/** Processor time that a process has used, in clock ticks of 10 ms (proc(5), utime and stime). */
function ticksOf(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /s, '')
    .split(' ');
  return Number(fields[11]) + Number(fields[12]);
}

test('processes - who waits for data sleeps: no processor time to speak of', () =>
  onStage(async (stage) => {
    const { source, copies, running } = await atTheGate(stage);
    const pids = [running.producerPid, ...copies.map(({ pid }) => pid)];
    const before = pids.map(ticksOf);
    const startedMs = performance.now();
    // Looking on is what takes the time; it costs those who wait nothing.
    while (performance.now() - startedMs < 3000) await stage.copies();
    const elapsedTicks = (performance.now() - startedMs) / 10;
    for (const [index, pid] of pids.entries()) {
      const share = (ticksOf(pid) - present(before[index], 'ticks before')) / elapsedTicks;
      expect(share, `process ${pid} of ${pids}`).toBeLessThan(0.15);
    }
    source.open();
    for (const copy of copies) await copy.good();
  }));
