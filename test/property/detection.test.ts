// Goal: a verdict depends on what was measured and on nothing else. Method: stories of samples that come in bursts, late, twice, out
// of order, with gaps and strange values; the detector is compared with a model that keeps everything (detection-model.ts).
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { present } from '../../src/base/mod.ts';
import { createDetector, type Detector, type Objective, type Sample } from '../../src/detection/mod.ts';
import { check, PROPERTY_MS_MAX } from './check.ts';
import { judge } from './detection-model.ts';

interface Arrival {
  readonly sample: Sample;
  /** When it is added: at its time or later, less than a slow window later. */
  readonly arrivesMs: number;
}

interface Story {
  readonly objective: Objective;
  /** In the order in which they arrive. */
  readonly arrivals: readonly Arrival[];
  readonly endMs: number;
}

const objectives = fc.record({
  signal: fc.constant('probe.milliseconds'),
  below: fc.integer({ min: -10, max: 10 }),
  fastSeconds: fc.constantFrom(4, 8, 20),
  slowSeconds: fc.constantFrom(20, 32, 60),
  share: fc.constantFrom(0.1, 0.25, 0.5, 0.9, 1),
});

/** Spells of good, bad and mixed times, and of silence, so that every verdict comes about. */
const spells = fc.array(
  fc.record({
    kind: fc.constantFrom('good', 'bad', 'mixed', 'mixed', 'strange', 'silent'),
    seconds: fc.integer({ min: 1, max: 90 }),
    everyMs: fc.constantFrom(500, 1000, 1000, 1700, 5000),
  }),
  { minLength: 1, maxLength: 6 },
);

type Spell = { readonly kind: string; readonly seconds: number; readonly everyMs: number };

const STRANGE = [null, Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];

function drawn(kind: string, below: number, die: number): number | null {
  if (kind === 'good' || (kind === 'mixed' && die % 2 === 0)) return below - (die % 7);
  if (kind === 'strange' && die % 5 < STRANGE.length) return STRANGE[die % 5] ?? null;
  return below + 1 + (die % 7);
}

function storyOf(objective: Objective, plan: readonly Spell[], dice: readonly number[], late: boolean): Story {
  const arrivals: Arrival[] = [];
  const slowMs = objective.slowSeconds * 1000;
  const roll = (index: number) => present(dice[index % dice.length], 'die');
  let nowMs = 50_000;
  for (const { kind, seconds, everyMs } of plan) {
    const endMs = nowMs + seconds * 1000;
    for (; nowMs < endMs; nowMs += everyMs) {
      if (kind === 'silent') continue;
      const die = roll(arrivals.length);
      const sample = { atMs: nowMs + (die % 300), value: drawn(kind, objective.below, die) };
      const lateMs = late && die % 3 === 0 ? die % slowMs : 0;
      arrivals.push({ sample, arrivesMs: sample.atMs + lateMs });
      if (late && die % 11 === 0) arrivals.push({ sample, arrivesMs: sample.atMs + lateMs });
    }
  }
  arrivals.sort((a, b) => a.arrivesMs - b.arrivesMs);
  return { objective, arrivals, endMs: Math.max(nowMs, arrivals.at(-1)?.arrivesMs ?? 0) };
}

const dice = fc.array(fc.nat({ max: 100_000 }), { minLength: 40, maxLength: 40 });
const stories = fc
  .tuple(objectives, spells, dice, fc.boolean())
  .map(([objective, plan, rolls, late]) => storyOf(objective, plan, rolls, late));

/** Adds what arrives, and asks after each arrival that `asks` says. */
function play({ objective, arrivals }: Story, asks: (index: number) => boolean, see?: (at: number) => void): Detector {
  const detector = createDetector(objective);
  for (const [index, { sample, arrivesMs }] of arrivals.entries()) {
    detector.add(sample);
    if (!asks(index)) continue;
    detector.verdict(arrivesMs);
    see?.(index);
  }
  return detector;
}

describe('detection', () => {
  test(
    'comes to the verdict that its contract says, at any time, whoever asked before',
    () => {
      const seen = new Map<string, number>();
      check(stories, 250, (story) => {
        const detector = createDetector(story.objective);
        const samples: Sample[] = [];
        for (const [index, { sample, arrivesMs }] of story.arrivals.entries()) {
          detector.add(sample);
          samples.push(sample);
          const found = detector.verdict(arrivesMs);
          if (index % 17 !== 0 && index !== story.arrivals.length - 1) continue;
          const wanted = judge(story.objective, samples, arrivesMs);
          const shares = found.evidence.map(({ values }) => values.share);
          expect({ verdict: found.verdict, shares }).toEqual(wanted);
          seen.set(found.verdict, (seen.get(found.verdict) ?? 0) + 1);
        }
      });
      // The stories are of use only when they have all of it in them.
      for (const verdict of ['healthy', 'degraded', 'unknown']) expect(seen.get(verdict) ?? 0).toBeGreaterThan(50);
    },
    PROPERTY_MS_MAX,
  );

  test(
    'does not depend on how samples are put together, or on who asks meanwhile',
    () => {
      check(fc.tuple(stories, dice), 300, ([story, rolls]) => {
        const often = play(story, () => true);
        const seldom = play(story, (index) => (rolls[index % rolls.length] ?? 0) % 9 === 0);
        const never = play(story, () => false);
        const wanted = never.verdict(story.endMs);
        expect(often.verdict(story.endMs)).toEqual(wanted);
        expect(seldom.verdict(story.endMs)).toEqual(wanted);
        expect(often.verdict(story.endMs)).toEqual(wanted);
      });
    },
    PROPERTY_MS_MAX,
  );

  test(
    'does not depend on the order of samples, or on repetitions',
    () => {
      check(fc.tuple(stories, dice), 300, ([story, rolls]) => {
        const wanted = play(story, () => false).verdict(story.endMs);
        const keyed = [...story.arrivals, ...story.arrivals].map((arrival, index) => ({
          arrival,
          key: (rolls[index % rolls.length] ?? 0) * ((index % 13) + 1),
        }));
        const arrivals = keyed.sort((a, b) => a.key - b.key).map(({ arrival }) => arrival);
        expect(play({ ...story, arrivals }, () => false).verdict(story.endMs)).toEqual(wanted);
      });
    },
    PROPERTY_MS_MAX,
  );

  test(
    'is never healthy, or anything but unknown, without enough of both windows observed',
    () => {
      const gaps = fc.tuple(stories, fc.integer({ min: 5, max: 2000 }), fc.constantFrom(null, Number.NaN, -Infinity));
      check(gaps, 300, ([story, tenths, nothing]) => {
        const detector = play(story, () => true);
        // From half a fast window on without a value.
        let nowMs = story.endMs;
        const untilMs = nowMs + story.objective.fastSeconds * 100 * tenths;
        for (; nowMs < untilMs; nowMs += 1000) detector.add({ atMs: nowMs, value: nothing });
        expect(detector.verdict(untilMs).verdict).toBe('unknown');
        const empty = createDetector(story.objective);
        for (const { sample } of story.arrivals) empty.add({ ...sample, value: nothing });
        expect(empty.verdict(story.endMs).verdict).toBe('unknown');
      });
    },
    PROPERTY_MS_MAX,
  );

  test(
    'is no better when a sample is worse',
    () => {
      const rank = { healthy: 0, unknown: 1, degraded: 2 };
      check(fc.tuple(stories, fc.nat()), 300, ([story, which]) => {
        const before = play(story, () => false).verdict(story.endMs);
        const arrivals = story.arrivals.map((arrival, index) => {
          const { atMs, value } = arrival.sample;
          const worse = index % 5 === which % 5 && value !== null && Number.isFinite(value) ? value + 20 : value;
          return { ...arrival, sample: { atMs, value: worse } };
        });
        const after = play({ ...story, arrivals }, () => false).verdict(story.endMs);
        expect(rank[after.verdict]).toBeGreaterThanOrEqual(rank[before.verdict]);
        expect(after.verdict === 'unknown').toBe(before.verdict === 'unknown');
      });
    },
    PROPERTY_MS_MAX,
  );

  test(
    'is the same in every unit: values and threshold scaled together change nothing',
    () => {
      check(fc.tuple(stories, fc.integer({ min: -1000, max: 1000 })), 300, ([story, power]) => {
        // Powers of two: exact, so what is equal stays equal.
        const scale = 2 ** power;
        const objective = { ...story.objective, below: story.objective.below * scale };
        const arrivals = story.arrivals.map(({ sample, arrivesMs }) => ({
          sample: { ...sample, value: sample.value === null ? null : sample.value * scale },
          arrivesMs,
        }));
        const plain = play(story, () => false).verdict(story.endMs);
        const scaled = play({ ...story, objective, arrivals }, () => false).verdict(story.endMs);
        expect(scaled.verdict).toBe(plain.verdict);
        for (const [index, { values }] of plain.evidence.entries()) {
          const { median, p95, threshold, ...rest } = values;
          expect(scaled.evidence[index]?.values).toEqual({
            ...rest,
            median: median === null ? null : median * scale,
            p95: p95 === null ? null : p95 * scale,
            threshold: threshold * scale,
          });
        }
      });
    },
    PROPERTY_MS_MAX,
  );

  test(
    'bears any numbers as times and values',
    () => {
      const anything = fc.record({ atMs: fc.double(), value: fc.option(fc.double()) });
      const near = fc.record({ atMs: fc.integer({ min: 0, max: 60_000 }), value: fc.double() });
      const cases = fc.tuple(
        objectives,
        fc.double({ noNaN: true, noDefaultInfinity: true }),
        fc.array(fc.oneof(near, anything)),
      );
      check(cases, 500, ([objective, below, samples]) => {
        const detector = createDetector({ ...objective, below });
        for (const sample of samples) detector.add(sample);
        for (const nowMs of [-1e9, 30_000, 60_000.5, 2 ** 49, 1e300]) {
          const { verdict, reason, evidence } = detector.verdict(nowMs);
          expect(['healthy', 'degraded', 'unknown']).toContain(verdict);
          for (const { text, values } of evidence) {
            expect(`${text} ${reason}`).not.toMatch(/NaN|Infinity|undefined/);
            for (const value of Object.values(values))
              expect(typeof value !== 'number' || Number.isFinite(value)).toBe(true);
            expect(values.breaching).toBeLessThanOrEqual(values.samples);
            expect(values.coverage).toBeGreaterThanOrEqual(0);
            expect(values.coverage).toBeLessThanOrEqual(1);
            expect((values.median ?? 0) <= (values.p95 ?? 0)).toBe(true);
          }
        }
      });
    },
    PROPERTY_MS_MAX,
  );
});
