import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { seededRandom } from '../../base/mod.ts';
import { Baseline, type BaselineOptions } from './baseline.ts';
import { parseBaselineMemory } from './memory.ts';

const START_MS = 1_700_000_000_000;
const MINUTE_MS = 60_000;
const DAY = 1440;

/** Normal noise of a seed (Box and Muller). */
function noise(seed: number): () => number {
  const random = seededRandom(seed);
  const one = (): number => (random.below(2 ** 30) + 1) / 2 ** 30;
  return () => Math.sqrt(-2 * Math.log(one())) * Math.cos(2 * Math.PI * one());
}

/** Verdicts as they change, each with the sample at which it does. */
function changes(values: readonly number[], options: BaselineOptions = {}): string[] {
  const baseline = new Baseline(options);
  const found: string[] = [];
  let before = '';
  for (const [index, value] of values.entries()) {
    baseline.add({ atMs: START_MS + index * MINUTE_MS, value });
    if (baseline.state !== before) found.push(`${index} ${baseline.state}`);
    before = baseline.state;
  }
  return found;
}

/** Samples at which it became degraded or failing. */
function alarms(values: readonly number[], options: BaselineOptions = {}): number[] {
  let wasBad = false;
  return changes(values, options).flatMap((one) => {
    const [index, state = ''] = one.split(' ');
    const isBad = ['degraded', 'failing'].includes(state);
    const isNew = isBad && !wasBad;
    wasBad = isBad;
    return isNew ? [Number(index)] : [];
  });
}

function series(length: number, value: (index: number) => number): number[] {
  return Array.from({ length }, (_, index) => value(index));
}

describe('a learned baseline', () => {
  it('baseline - says nothing before it has learned', () => {
    const normal = noise(1);
    expect(changes(series(1000, () => 100 + normal()))).toEqual(['0 learning', '299 healthy']);
    expect(
      changes(
        series(1000, () => 100 + normal()),
        { learnSamples: 600 },
      ),
    ).toEqual(['0 learning', '599 healthy']);
  });

  it('baseline - a shift is found within a few samples, told from a spike, and becomes the new normal', () => {
    const normal = noise(2);
    const values = series(4000, (index) => 100 + 5 * normal() + (index >= 3000 ? 30 : 0));
    const [first, ...more] = alarms(values);
    expect(first).toBeGreaterThanOrEqual(3000);
    expect(first).toBeLessThan(3010);
    expect(more).toEqual([]);
    expect(changes(values).at(-1)).toMatch(/healthy$/);
    const baseline = new Baseline();
    for (const [index, value] of values.slice(0, 3030).entries()) baseline.add({ atMs: index * MINUTE_MS, value });
    expect(baseline.values).toMatchObject({ kind: 'shift' });
    expect(baseline.values.score).toBeGreaterThan(1);
  });

  it('baseline - one sample far out is a spike', () => {
    const normal = noise(3);
    const baseline = new Baseline();
    for (let index = 0; index < 2000; index += 1) baseline.add({ atMs: index * MINUTE_MS, value: 100 + 5 * normal() });
    expect(baseline.state).toBe('healthy');
    baseline.add({ atMs: 2000 * MINUTE_MS, value: 150 });
    expect(baseline.state).toBe('degraded');
    expect(baseline.values).toMatchObject({ value: 150, kind: 'spike' });
  });

  it.each([
    ['above', [9000]],
    ['below', [6000]],
    ['both', [6000, 9000]],
  ] as const)('baseline - of falls and rises those matter that somebody named: %s', (direction, wanted) => {
    const normal = noise(4);
    const at = (index: number): number =>
      index >= 6000 && index < 6030 ? -40 : index >= 9000 && index < 9030 ? 40 : 0;
    const found = alarms(
      series(9200, (index) => 100 + 3 * normal() + at(index)),
      { direction },
    );
    expect(found.filter((index) => index % 1000 < 30).map((index) => index - (index % 1000))).toEqual(wanted);
  });

  it('baseline - the rhythm of days is learned: what comes each night is nothing, what comes at noon is something', () => {
    const normal = noise(5);
    const nightly = (index: number): number => (index % DAY >= 120 && index % DAY < 150 ? 60 : 0);
    const daily = (index: number): number => 50 * Math.sin((index / DAY) * 2 * Math.PI);
    const usual = (index: number): number => 200 + daily(index) + nightly(index) + 3 * normal();
    const days = 12;
    const calm = alarms(series(days * DAY, usual)).filter((index) => index > 4 * DAY);
    expect(calm).toEqual([]);
    const noon = 10 * DAY + 720;
    const odd = series(days * DAY, (index) => usual(index) + (index >= noon && index < noon + 60 ? 60 : 0));
    const [found] = alarms(odd).filter((index) => index > 4 * DAY);
    expect(found).toBeGreaterThanOrEqual(noon);
    expect(found).toBeLessThan(noon + 30);
  });

  it.each<[string, (index: number, normal: () => number) => number]>([
    ['constant', () => 7],
    ['line', (index) => index],
    ['noise', (_, normal) => 100 + 5 * normal()],
    ['saw teeth', (index, normal) => (index % 240) / 2.4 + normal()],
    ['steps up and down', (index) => (index % 120 < 60 ? 10 : 90)],
  ])('baseline - %s is nothing to report', (_, value) => {
    const normal = noise(9);
    expect(alarms(series(20_000, (index) => value(index, normal)))).toEqual([]);
  });

  it('baseline - what never changed and does is reported', () => {
    expect(alarms(series(1000, (index) => (index < 900 ? 5 : 6)))).toEqual([900]);
  });

  it('baseline - a long silence makes runs begin anew', () => {
    const baseline = new Baseline();
    for (let index = 0; index < 500; index += 1) baseline.add({ atMs: index * MINUTE_MS, value: index % 2 });
    expect(baseline.silentFromMs).toBe(504 * MINUTE_MS);
    baseline.add({ atMs: 600 * MINUTE_MS, value: 1 });
    expect(baseline.state).toBe('healthy');
  });
});

describe('what was learned', () => {
  it('baseline - goes on after a restart as if there had been none, but for the runs of the last samples', () => {
    const normal = noise(11);
    const value = (index: number): number => 100 + 40 * Math.sin((2 * Math.PI * index) / DAY) + 5 * normal();
    const sample = (index: number, more = 0) => ({ atMs: START_MS + index * MINUTE_MS, value: value(index) + more });
    const before = new Baseline();
    for (let index = 0; index < 8 * DAY; index += 1) before.add(sample(index));
    const memory = parseBaselineMemory(JSON.parse(JSON.stringify(before.memory)));
    expect(JSON.stringify(memory).length).toBeLessThan(32_000);
    const after = new Baseline();
    if (memory !== null) after.restore(memory);
    expect([after.state, after.toLearn]).toEqual(['healthy', 0]);
    for (let index = 8 * DAY + 30; index < 8 * DAY + 300; index += 1) after.add(sample(index));
    expect(after.state).toBe('healthy');
    expect(after.values.rhythm).toBe('daily');
    for (let index = 0; index < 15; index += 1) after.add(sample(8 * DAY + 300 + index, 25));
    expect(after.state).not.toBe('healthy');
  });

  it('baseline - a memory that is not whole is none', () => {
    const baseline = new Baseline();
    expect(baseline.memory).toBeNull();
    for (let index = 0; index < 400; index += 1) baseline.add({ atMs: index * MINUTE_MS, value: index % 7 });
    const whole = JSON.parse(JSON.stringify(baseline.memory)) as Record<string, unknown>;
    expect(parseBaselineMemory(whole)).not.toBeNull();
    const [model] = whole.models as Record<string, unknown>[];
    for (const broken of [
      ...[null, 5, [], {}, { ...whole, version: 2 }, { ...whole, lastMs: 'x' }, { ...whole, models: [{}] }],
      ...[{ means: [1] }, { records: [{}] }, { level: null }, { visits: 'x' }].map((edit) => {
        return { ...whole, models: [{ ...model, ...edit }] };
      }),
    ]) {
      expect(parseBaselineMemory(broken)).toBeNull();
    }
  });
});

describe('whatever the numbers are', () => {
  const recording = fc
    .tuple(fc.integer({ min: 1, max: 1000 }), fc.integer({ min: 400, max: 900 }), fc.integer({ min: 0, max: 60 }))
    .map(([seed, at, size]) => {
      const normal = noise(seed);
      return series(1000, (index) => Math.round(100 * (10 + normal()) + (index >= at ? 100 * size : 0)));
    });

  it('baseline - scaling a signal changes no verdict', () => {
    fc.assert(
      fc.property(recording, fc.integer({ min: -30, max: 30 }), (values, power) => {
        expect(changes(values.map((value) => value * 2 ** power))).toEqual(changes(values));
      }),
      { numRuns: 40 },
    );
  });

  it('baseline - neither does moving its origin', () => {
    fc.assert(
      fc.property(recording, fc.integer({ min: -20, max: 20 }), (values, step) => {
        // Whole numbers of a power of two, so that nothing is rounded but what is rounded anyway.
        expect(changes(values.map((value) => value + step * 2 ** 12))).toEqual(changes(values));
      }),
      { numRuns: 40 },
    );
  });

  it('baseline - no number is too large, too small or none', () => {
    const odd = fc.oneof(
      fc.constantFrom(0, -0, 1e308, -1e308, 5e-324, Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY),
      fc.double(),
    );
    fc.assert(
      fc.property(fc.array(odd, { maxLength: 700 }), (values) => {
        const baseline = new Baseline({ learnSamples: 50 });
        for (const [index, value] of values.entries()) {
          baseline.add({ atMs: index * MINUTE_MS, value });
          expect(Number.isFinite(baseline.values.score)).toBe(true);
          expect(baseline.values.score).toBeGreaterThanOrEqual(0);
        }
      }),
      { numRuns: 100 },
    );
  });
});
