import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { Objective, Sample } from './contract.ts';
import { createDetector } from './detector.ts';
import { StreamDetector } from './stream.ts';

const objectives = fc.record({
  signal: fc.constant('value'),
  below: fc.constant(400),
  fastSeconds: fc.integer({ min: 1, max: 20 }),
  slowSeconds: fc.integer({ min: 20, max: 90 }),
  share: fc.constantFrom(0.05, 0.3, 0.5, 1),
});

/** Calm and breaching stretches, with gaps, of whole and half seconds. */
const recordings = fc
  .array(
    fc.record({
      count: fc.integer({ min: 1, max: 40 }),
      value: fc.constantFrom<number | null>(100, 400, 900, null, Number.NaN),
      stepMs: fc.constantFrom(500, 1000, 1000, 1000, 7000, 100_000),
    }),
    { minLength: 1, maxLength: 12 },
  )
  .map((stretches) => {
    let atMs = 1_000_000;
    const samples: Sample[] = [];
    for (const { count, value, stepMs } of stretches) {
      for (let index = 0; index < count; index += 1) {
        atMs += index === 0 ? stepMs : Math.min(stepMs, 1000);
        samples.push({ atMs, value });
      }
    }
    return samples;
  });

it('stream - says at each sample what the detector says that takes samples in any order', () => {
  fc.assert(
    fc.property(objectives, recordings, (objective: Objective, samples) => {
      const stream = new StreamDetector(objective);
      const detector = createDetector(objective);
      for (const sample of samples) {
        stream.add(sample);
        detector.add(sample);
        if (sample.value === null || Number.isNaN(sample.value)) continue;
        const finding = detector.verdict(sample.atMs);
        expect(stream.verdict).toBe(finding.verdict);
        const [fast, slow] = finding.evidence;
        expect(stream.counts('fast')).toEqual({ samples: fast.values.samples, breaching: fast.values.breaching });
        expect(stream.counts('slow')).toEqual({ samples: slow.values.samples, breaching: slow.values.breaching });
      }
    }),
    { numRuns: 300 },
  );
});

it('stream - is silent from the moment at which the detector says so', () => {
  const objective: Objective = { signal: 'value', below: 400, fastSeconds: 10, slowSeconds: 60, share: 0.5 };
  const stream = new StreamDetector(objective);
  const detector = createDetector(objective);
  for (let second = 1; second <= 60; second += 1) {
    for (const one of [stream, detector]) one.add({ atMs: second * 1000, value: 100 });
  }
  expect(stream.silentFromMs).toBe(64_500);
  expect(detector.verdict(64_500).verdict).toBe('healthy');
  expect(detector.verdict(64_501).verdict).toBe('unknown');
});
