import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Outbox } from './outbox.ts';
import { CHANGES_MAX, type VerdictChange } from './protocol.ts';

const WALL_MS = Date.parse('2026-11-25T12:00:00.000Z');
const numbersOf = (changes: readonly VerdictChange[]): number[] => changes.map(({ number }) => number);

describe('Outbox', () => {
  it('outbox - changes wait in order until they are confirmed', () => {
    const outbox = new Outbox();
    outbox.add(1000, 'healthy', []);
    outbox.add(3000, 'degraded', []);
    const changes = outbox.oldest(4000, WALL_MS);
    expect(changes).toEqual([
      { number: 1, at: '2026-11-25T11:59:57.000Z', ageMs: 3000, verdict: 'healthy', evidence: [] },
      { number: 2, at: '2026-11-25T11:59:59.000Z', ageMs: 1000, verdict: 'degraded', evidence: [] },
    ]);
    outbox.add(5000, 'healthy', []);
    outbox.confirm(changes);
    expect(numbersOf(outbox.oldest(5000, WALL_MS))).toEqual([3]);
  });

  it('outbox - a clock that was set moves the times of changes, not their ages', () => {
    const outbox = new Outbox();
    outbox.add(1000, 'healthy', []);
    const [before] = outbox.oldest(2000, WALL_MS);
    const [after] = outbox.oldest(2000, WALL_MS - 86_400_000);
    expect(after).toMatchObject({ ageMs: before?.ageMs, at: '2026-11-24T11:59:59.000Z' });
  });

  it('outbox - the oldest of too many are dropped and counted, once', () => {
    const outbox = new Outbox();
    for (let count = 0; count < CHANGES_MAX + 10; count += 1) outbox.add(count, 'healthy', []);
    expect(outbox.dropped).toBe(10);
    expect(numbersOf(outbox.oldest(1000, WALL_MS))).toEqual(Array.from({ length: CHANGES_MAX }, (_, i) => i + 11));
  });

  it('outbox - a report holds as many as fit, and the others come with the next', () => {
    const outbox = new Outbox();
    const evidence = [{ text: 'x'.repeat(20_000), values: {} }];
    for (let count = 0; count < 20; count += 1) outbox.add(count, 'healthy', evidence);
    const first = outbox.oldest(1000, WALL_MS);
    expect(Buffer.byteLength(JSON.stringify(first))).toBeLessThan(192 * 1024 + 10);
    outbox.confirm(first);
    expect(outbox.oldest(1000, WALL_MS)[0]?.number).toBe(first.length + 1);
    outbox.confirm(outbox.oldest(1000, WALL_MS));
    outbox.confirm(outbox.oldest(1000, WALL_MS));
    expect(outbox.isEmpty).toBe(true);
    expect(outbox.dropped).toBe(0);
  });

  it('outbox - whatever happens, every change is confirmed, given up, dropped or waiting, and each once', () => {
    const step = fc.constantFrom('add', 'take', 'confirm', 'giveUp');
    fc.assert(
      fc.property(fc.array(step, { maxLength: 400 }), (steps) => {
        const outbox = new Outbox();
        let [added, confirmed] = [0, 0];
        let taken: readonly VerdictChange[] = [];
        for (const name of steps) {
          if (name === 'add') outbox.add(added++, 'healthy', []);
          if (name === 'take') taken = outbox.oldest(1000, WALL_MS);
          if (name === 'giveUp') outbox.giveUp(taken);
          if (name === 'confirm') {
            const before = outbox.oldest(1000, WALL_MS).length;
            outbox.confirm(taken);
            confirmed += before - outbox.oldest(1000, WALL_MS).length;
          }
        }
        expect(confirmed + outbox.dropped + outbox.oldest(1000, WALL_MS).length).toBe(added);
      }),
    );
  });
});
