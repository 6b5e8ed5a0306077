import { describe, expect, it } from 'vitest';
import type { Detector, Objective, Sample } from './contract.ts';
import { createDetector, SAMPLES_MAX } from './detector.ts';

const OBJECTIVE: Objective = { signal: 'probe.milliseconds', below: 400, fastSeconds: 10, slowSeconds: 60, share: 0.5 };
const START_MS = 1_000_000;
const GOOD = 100;
const BAD = 900;

/** A detector with a sample a second. */
class Rig {
  readonly detector: Detector;
  nowMs = START_MS;

  constructor(objective: Partial<Objective> = {}) {
    this.detector = createDetector({ ...OBJECTIVE, ...objective });
  }

  feed(seconds: number, value: (second: number) => number | null): this {
    for (let second = 0; second < seconds; second += 1) {
      this.nowMs += 1000;
      this.detector.add({ atMs: this.nowMs, value: value(second) });
    }
    return this;
  }

  good(seconds: number): this {
    return this.feed(seconds, () => GOOD);
  }

  bad(seconds: number): this {
    return this.feed(seconds, () => BAD);
  }

  silent(seconds: number): this {
    this.nowMs += seconds * 1000;
    return this;
  }

  get verdict(): string {
    return this.detector.verdict(this.nowMs).verdict;
  }
}

describe('verdicts', () => {
  it('detector - degraded only when both windows breach, and neither by a spike nor by the past', () => {
    const rig = new Rig().good(60);
    expect(rig.verdict).toBe('healthy');
    expect(rig.bad(29).verdict).toBe('healthy');
    expect(rig.bad(1).verdict).toBe('degraded');
    // Half of the slow window breaches still, but the fast one no longer does: never degraded before, so healthy.
    const recent = new Rig().good(30).bad(29).good(10);
    expect(recent.bad(1).verdict).toBe('healthy');
  });

  it('detector - a value at the threshold does not breach', () => {
    expect(new Rig().feed(60, () => 400).verdict).toBe('healthy');
    expect(new Rig().feed(60, () => 400.001).verdict).toBe('degraded');
  });

  it('detector - a share that is exactly reached breaches', () => {
    const rig = new Rig({ share: 0.1 }).good(60);
    // One of ten and six of sixty.
    expect(rig.feed(60, (second) => (second % 10 === 9 ? BAD : GOOD)).verdict).toBe('degraded');
  });

  it('detector - healthy again only when the slow window has recovered as well', () => {
    const rig = new Rig().bad(60);
    expect(rig.verdict).toBe('degraded');
    // 15 of 60 breach: a quarter, which is not below half of the share.
    expect(rig.good(45).verdict).toBe('degraded');
    expect(rig.detector.verdict(rig.nowMs).reason).toContain('has not recovered: less than 25 % of the slow window');
    expect(rig.good(1).verdict).toBe('healthy');
    // At the share between, a healthy one stays healthy.
    expect(rig.bad(9).verdict).toBe('healthy');
  });

  it('detector - not healthy while the fast window breaches', () => {
    const rig = new Rig({ slowSeconds: 100 }).bad(100).good(76);
    expect(rig.verdict).toBe('healthy');
    const again = new Rig({ slowSeconds: 100 }).bad(100).good(75).bad(6).good(4);
    expect(again.verdict).toBe('degraded');
  });

  it('detector - is about the samples, not about when it is asked', () => {
    const asked = new Rig();
    const silent = new Rig();
    for (let round = 0; round < 6; round += 1) {
      for (let second = 0; second < 40; second += 1) {
        for (const rig of [asked, silent]) rig.feed(1, () => (round % 2 === 0 ? BAD : GOOD));
        asked.detector.verdict(asked.nowMs);
        asked.detector.verdict(asked.nowMs + 500);
      }
    }
    expect(asked.detector.verdict(asked.nowMs)).toEqual(silent.detector.verdict(silent.nowMs));
  });
});

describe('what is not known', () => {
  it('detector - is unknown without samples, whoever asks when', () => {
    const detector = createDetector(OBJECTIVE);
    const finding = detector.verdict(0);
    expect(finding.verdict).toBe('unknown');
    expect(finding.reason).toBe('no sample of probe.milliseconds for as long as the slow window');
    expect(finding.evidence.map(({ text }) => text)).toEqual([
      'no sample of probe.milliseconds in the last 10 s',
      'no sample of probe.milliseconds in the last 60 s',
    ]);
    expect(finding.evidence[0].values).toMatchObject({ samples: 0, share: null, median: null, p95: null, coverage: 0 });
    expect(detector.verdict(1e9).verdict).toBe('unknown');
  });

  it('detector - is unknown until enough of the slow window was observed', () => {
    const rig = new Rig();
    expect(rig.bad(30).verdict).toBe('unknown');
    expect(rig.detector.verdict(rig.nowMs).reason).toBe(
      'probe.milliseconds was observed for 48 % of the slow window; 80 % are needed',
    );
    expect(rig.bad(30).verdict).toBe('degraded');
    expect(new Rig().good(30).verdict).toBe('unknown');
  });

  it('detector - is unknown soon after samples stop, and says so', () => {
    for (const rig of [new Rig().good(60), new Rig().bad(60)]) {
      expect(rig.silent(4).verdict).not.toBe('unknown');
      expect(rig.silent(1).verdict).toBe('unknown');
      expect(rig.detector.verdict(rig.nowMs).reason).toContain('of the fast window; 80 % are needed');
      expect(rig.silent(60).verdict).toBe('unknown');
      expect(rig.detector.verdict(rig.nowMs).evidence[1].values.samples).toBe(0);
    }
  });

  it('detector - a gap in the slow window makes it unknown until it has passed', () => {
    const rig = new Rig().good(60).silent(20).good(10);
    expect(rig.verdict).toBe('unknown');
    expect(rig.good(45).verdict).toBe('healthy');
  });

  it('detector - values that are none are silence', () => {
    for (const value of [null, Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
      expect(new Rig().feed(120, () => value).verdict).toBe('unknown');
      expect(new Rig().good(60).feed(6, () => value).verdict).toBe('unknown');
    }
    // A few of them do no harm.
    expect(new Rig().feed(60, (second) => (second % 4 === 0 ? null : GOOD)).verdict).toBe('healthy');
  });

  it('detector - what was degraded before a short silence is degraded after it', () => {
    // After it a third of the slow window breaches, which is neither broken nor recovered.
    const rig = new Rig().bad(60).silent(8).good(35);
    expect(rig.verdict).toBe('degraded');
    const never = new Rig().good(42).bad(18).silent(8).good(35);
    expect(never.verdict).toBe('healthy');
  });

  it('detector - what was before a silence as long as the slow window counts no more', () => {
    const rig = new Rig()
      .bad(60)
      .silent(60)
      .feed(60, (second) => (second % 3 === 0 ? BAD : GOOD));
    expect(rig.verdict).toBe('healthy');
  });
});

describe('samples', () => {
  it('detector - takes them in any order and twice', () => {
    const samples: Sample[] = [];
    for (let second = 1; second <= 60; second += 1) {
      samples.push({ atMs: second * 1000, value: second % 2 === 0 ? BAD : GOOD });
    }
    const wanted = createDetector(OBJECTIVE);
    for (const sample of samples) wanted.add(sample);
    const mixed = createDetector(OBJECTIVE);
    for (const sample of [...samples].reverse()) mixed.add(sample);
    for (const sample of samples) mixed.add(sample);
    expect(mixed.verdict(60_000)).toEqual(wanted.verdict(60_000));
    expect(mixed.verdict(60_000).evidence[1].values.samples).toBe(60);
  });

  it('detector - of several at one time the highest counts', () => {
    const rig = new Rig().good(60);
    for (let second = 0; second < 60; second += 1) {
      for (const value of [null, BAD, GOOD, Number.NaN]) rig.detector.add({ atMs: rig.nowMs - second * 1000, value });
    }
    expect(rig.verdict).toBe('degraded');
  });

  it('detector - those that come late change the verdict, those that come too late do not', () => {
    const rig = new Rig().good(90);
    expect(rig.verdict).toBe('healthy');
    for (let second = 60; second < 90; second += 1) rig.detector.add({ atMs: rig.nowMs - second * 1000, value: BAD });
    expect(rig.detector.verdict(rig.nowMs).evidence[1].values.breaching).toBe(0);
    for (let second = 0; second < 30; second += 1) rig.detector.add({ atMs: rig.nowMs - second * 1000, value: BAD });
    expect(rig.verdict).toBe('degraded');
  });

  it('detector - a late sample can take back that the service ever was degraded', () => {
    const rig = new Rig().feed(90, (second) => (second % 3 === 0 ? BAD : GOOD)).bad(30);
    expect(rig.verdict).toBe('degraded');
    for (let second = 0; second < 30; second += 1) {
      for (const ms of [300, 600]) rig.detector.add({ atMs: rig.nowMs - second * 1000 - ms, value: GOOD });
    }
    // A third of both windows breaches, all the time: too little to become degraded, and enough to stay so.
    expect(rig.verdict).toBe('healthy');
  });

  it('detector - keeps samples as long as a window that is not settled can reach them', () => {
    const detector = createDetector({ ...OBJECTIVE, slowSeconds: 20 });
    const at = (second: number, value: number) => detector.add({ atMs: START_MS + second * 1000, value });
    // Only at 0 s is enough of the slow window known, 16 of 20 s, and 2 of them by the sample of just before it.
    at(-20.5, BAD);
    for (let second = -14; second <= 0; second += 1) at(second, second < -8 || second > -4 ? BAD : GOOD);
    for (let second = 1; second <= 19; second += 1) at(second, second >= 7 && second % 3 === 1 ? BAD : GOOD);
    for (const second of [0, 5, 19.9, 19.95]) {
      expect(detector.verdict(START_MS + second * 1000).verdict).toBe('degraded');
    }
  });

  it('detector - those of the future do not count, and do not stay', () => {
    const rig = new Rig();
    for (const atMs of [1e15, 2 ** 60, Number.POSITIVE_INFINITY, Number.NaN, -(2 ** 60)]) {
      rig.detector.add({ atMs, value: BAD });
    }
    expect(rig.good(60).verdict).toBe('healthy');
    expect(rig.detector.verdict(1e15).verdict).toBe('unknown');
    expect(rig.detector.verdict(1e15).evidence[0].values.samples).toBe(0);
  });

  it('detector - one just taken counts, whatever the fraction of its millisecond', () => {
    const detector = createDetector(OBJECTIVE);
    for (let second = 1; second <= 60; second += 1) detector.add({ atMs: second * 1000 + 0.6, value: GOOD });
    expect(detector.verdict(60_000.6).evidence[1].values.samples).toBe(60);
  });

  it('detector - more than can be kept are not kept', () => {
    const detector = createDetector({ ...OBJECTIVE, slowSeconds: 3600 });
    const count = 2 * SAMPLES_MAX;
    for (let index = 0; index < count; index += 1) detector.add({ atMs: index * 100, value: BAD });
    const { verdict, evidence } = detector.verdict(count * 100);
    expect(evidence[1].values.samples).toBe(SAMPLES_MAX);
    expect(evidence[1].values.coverage).toBeLessThan(0.6);
    expect(verdict).toBe('unknown');
  });
});

describe('evidence', () => {
  it('detector - says what was seen, for people and for programs', () => {
    const rig = new Rig().good(50).feed(10, (second) => (second === 0 ? GOOD : 1000 + second * 100.125));
    const { evidence } = rig.detector.verdict(rig.nowMs);
    expect(evidence[0]).toEqual({
      text: 'probe.milliseconds above 400 in 9 of 10 samples of the last 10 s (median 1401, 95th percentile 1901)',
      values: {
        window: 'fast',
        seconds: 10,
        samples: 10,
        breaching: 9,
        share: 0.9,
        shareMax: 0.5,
        median: 1400.5,
        p95: 1901.125,
        threshold: 400,
        coverage: 1,
      },
    });
    expect(evidence[1].values).toMatchObject({ window: 'slow', seconds: 60, samples: 60, breaching: 9, share: 0.15 });
  });

  it('detector - says how much of a window was observed when it was not all', () => {
    const { evidence } = (() => {
      const rig = new Rig().good(60).silent(5);
      return rig.detector.verdict(rig.nowMs);
    })();
    expect(evidence[0].text).toBe(
      'probe.milliseconds above 400 in 0 of 5 samples of the last 10 s (median 100, 95th percentile 100, 75 % of the time observed)',
    );
    const all: Readonly<Record<string, number | string | null>> = evidence[0].values;
    expect(all.coverage).toBe(0.75);
  });

  it.each([
    ['a threshold', { below: Number.NaN }],
    ['no fast window', { fastSeconds: 0 }],
    ['a slow window shorter than the fast one', { slowSeconds: 5 }],
    ['a slow window without end', { slowSeconds: Number.POSITIVE_INFINITY }],
    ['no share', { share: 0 }],
    ['more than all', { share: 1.1 }],
  ])('detector - an objective out of range is a mistake of the program: %s', (_what, part) => {
    expect(() => createDetector({ ...OBJECTIVE, ...part })).toThrow();
  });
});
