import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { SignalPolicy } from '../detection/mod.ts';
import type { Policy, Recording, ReplayEvent } from './contract.ts';
import { parseLabels, scoreLabels } from './labels.ts';
import { parsePrometheus } from './prometheus.ts';
import { parseRecording } from './recording.ts';
import { replay } from './replay.ts';

const START_MS = 1_700_000_000_000;

const OBJECTIVE: SignalPolicy = {
  name: 'value',
  objective: { below: 300, fastSeconds: null, slowSeconds: null, share: 0.5 },
  baseline: null,
  outside: false,
};

const POLICY: Policy = {
  signals: [OBJECTIVE],
  hostsMax: 3,
  secondsToCapacity: 30,
  scaleOut: { cooldownSeconds: 0, atOnce: 1 },
  scaleIn: { windowSeconds: null, headroom: 0.7, cooldownSeconds: 300 },
  load: null,
};

/** A sample a second. */
function recorded(values: readonly number[], stepMs = 1000): Recording {
  return {
    timesMs: Float64Array.from(values, (_, index) => START_MS + index * stepMs),
    columns: new Map([['value', Float64Array.from(values)]]),
  };
}

function times(count: number, value: number): number[] {
  return Array.from({ length: count }, () => value);
}

function at(second: number): string {
  return new Date(START_MS + second * 1000).toISOString();
}

function csv(text: string) {
  const { timesMs, columns } = parseRecording(Buffer.from(text), 'data.csv');
  return { timesMs: [...timesMs], columns: Object.fromEntries([...columns].map(([name, one]) => [name, [...one]])) };
}

describe('what would have happened', () => {
  it('replay - a host is added when both windows breach, and taken away when the rest can carry the load for a whole window', () => {
    const result = replay(POLICY, recorded([...times(120, 100), ...times(90, 900), ...times(900, 100)]), null);
    expect(result.events.map(({ at: when, verdict }) => [when, verdict])).toEqual([
      [at(0), 'unknown'],
      [at(48), 'healthy'],
      [at(149), 'degraded'],
      [at(179), 'failing'],
      [at(210), 'degraded'],
      [at(255), 'healthy'],
    ]);
    expect(result.scaling.map(({ at: when, action, hosts }) => [when, action, hosts])).toEqual([
      [at(149), 'scale-out', 2],
      [at(555), 'scale-in', 1],
    ]);
    expect(result.scaling[0]?.reason).toContain('value above 300 in 10 of 10 samples of the last 10 s and in 30 of 60');
    expect(result.scaling[1]?.reason).toContain('for the whole window the load would have fitted on one host less');
  });

  it('replay - one spike adds nothing', () => {
    const result = replay(POLICY, recorded([...times(120, 100), ...times(20, 900), ...times(120, 100)]), null);
    expect(result.events.map(({ verdict }) => verdict)).toEqual(['unknown', 'healthy']);
    expect(result.scaling).toEqual([]);
  });

  it('replay - silence is unknown, says so, and takes nothing away', () => {
    const values = [...times(120, 100), ...times(60, 900), ...times(100, 100), ...times(400, Number.NaN)];
    const result = replay(POLICY, recorded(values), null);
    expect(result.events.at(-1)).toMatchObject({
      verdict: 'unknown',
      score: 0,
      evidence: ['no sample of value for too long'],
    });
    expect(result.scaling.map(({ action }) => action)).toEqual(['scale-out']);
  });

  it('replay - while something outside of the hosts is to blame, no host is added', () => {
    const values = [...times(120, 100), ...times(120, 900)];
    const recording = recorded(values);
    const both = new Map([...recording.columns, ['db', Float64Array.from(values)]]);
    const policy = { ...POLICY, signals: [OBJECTIVE, { ...OBJECTIVE, name: 'db', outside: true }] };
    expect(replay(policy, { ...recording, columns: both }, null).scaling).toEqual([]);
    const calm = new Map([...recording.columns, ['db', Float64Array.from(times(240, 1))]]);
    expect(replay(policy, { ...recording, columns: calm }, null).scaling[0]?.action).toBe('scale-out');
  });

  it('replay - a baseline alone is a policy, and a fall asks for no host', () => {
    const signals = [{ ...OBJECTIVE, objective: null, baseline: { direction: 'both' as const, learnSamples: 300 } }];
    const wave = Array.from({ length: 3000 }, (_, index) => 100 + (index % 7));
    const shifted = (by: number): number[] =>
      wave.map((value, index) => value + (index >= 2000 && index < 2200 ? by : 0));
    const risen = replay({ ...POLICY, signals }, recorded(shifted(80)), null);
    expect(risen.events.map(({ verdict }) => verdict)).toEqual([
      'unknown',
      'healthy',
      'degraded',
      'failing',
      'healthy',
    ]);
    expect(risen.scaling.map(({ action }) => action)).toContain('scale-out');
    const fallen = replay({ ...POLICY, signals }, recorded(shifted(-80)), null);
    expect(fallen.events.length).toBeGreaterThan(2);
    expect(fallen.scaling).toEqual([]);
  });

  it('replay - there are never more hosts than the bound, whatever comes', () => {
    const stretch = fc.record({
      count: fc.integer({ min: 1, max: 400 }),
      value: fc.constantFrom(0, 100, 301, 900, 1e308, Number.NaN),
    });
    fc.assert(
      fc.property(
        fc.array(stretch, { minLength: 1, maxLength: 8 }),
        fc.integer({ min: 1, max: 4 }),
        (all, hostsMax) => {
          const values = all.flatMap(({ count, value }) => times(count, value));
          if (values.length < 2) return;
          let before = 1;
          for (const { action, hosts } of replay({ ...POLICY, hostsMax }, recorded(values), null).scaling) {
            expect(hosts).toBe(action === 'scale-out' ? before + 1 : before - 1);
            expect(hosts).toBeLessThanOrEqual(hostsMax);
            expect(hosts).toBeGreaterThanOrEqual(1);
            before = hosts;
          }
        },
      ),
      { numRuns: 150 },
    );
  });

  it('replay - samples in another order, and twice, change nothing', () => {
    const ordered = recorded([...times(120, 100), ...times(90, 900), ...times(100, 100)]);
    const indexes = [...ordered.timesMs.keys()].reverse();
    const mixed = [...indexes, ...indexes];
    const pick = (values: Float64Array): Float64Array => Float64Array.from(mixed, (index) => values[index] ?? 0);
    const columns = new Map([...ordered.columns].map(([name, one]) => [name, pick(one)]));
    expect(replay(POLICY, { timesMs: pick(ordered.timesMs), columns }, null)).toEqual(replay(POLICY, ordered, null));
  });

  it('replay - windows follow samples that are minutes apart', () => {
    const result = replay(POLICY, recorded([...times(60, 100), ...times(40, 900)], 300_000), null);
    expect(result.events.map(({ verdict }) => verdict)).toEqual(['unknown', 'healthy', 'degraded', 'failing']);
  });
});

describe('recordings', () => {
  it.each([
    ['timestamp,value\n2026-11-26 10:00:00,1.5\n2026-11-26T10:00:01Z,-2\n', [1.5, -2]],
    ['2026-11-26T10:00:00,1.5\r\n2026-11-26T11:00:01+01:00,-2e0\r\n', [1.5, -2]],
    ['\u{feff}time,value\n1795687200,1.5\n1795687201,\n', [1.5, Number.NaN]],
    ['t,value\n1795687200000,1.5\n1795687201000,much', [1.5, Number.NaN]],
    ['t,value\n1795687200.0,1.50\n\n1795687201,-0.25\n', [1.5, -0.25]],
  ])('recording - %j', (text, values) => {
    const first = Date.parse('2026-11-26T10:00:00Z');
    expect(csv(text)).toEqual({ timesMs: [first, first + 1000], columns: { value: values } });
  });

  it('recording - plain numbers are read as JavaScript reads them', () => {
    fc.assert(
      fc.property(fc.double({ min: -1e6, max: 1e6, noNaN: true }), fc.integer({ min: 0, max: 8 }), (value, digits) => {
        const text = value.toFixed(digits);
        expect(csv(`t,value\n1,${text}\n`).columns.value).toEqual([Number(text)]);
      }),
    );
  });

  it('recording - several columns have their names', () => {
    expect(csv('t,a,b\n1,2,3\n').columns).toEqual({ a: [2], b: [3] });
  });

  it.each([
    ['', 'line 1: it is empty'],
    ['timestamp\n', 'line 1: a time and 1 to 100 values'],
    ['t,a,a\n1,2,3\n', 'line 1: two columns have one name'],
    ['t,value\nyesterday,1\n', 'data.csv, line 2: "yesterday" is no time'],
    ['t,value\n1,2\n2026-13-40,1\n', 'line 3'],
  ])('recording - refuses %j', (text, message) => {
    expect(() => csv(text)).toThrow(message);
  });

  it('recording - the answer of Prometheus to a range query', () => {
    const values = [
      [1, '2'],
      [2, 'NaN'],
    ];
    const text = JSON.stringify({
      status: 'success',
      data: { resultType: 'matrix', result: [{ metric: {}, values }] },
    });
    const { timesMs, columns } = parsePrometheus(text, 'http://prometheus');
    expect([[...timesMs], [...(columns.get('value') ?? [])]]).toEqual([
      [1000, 2000],
      [2, Number.NaN],
    ]);
    expect(() => parsePrometheus('{"status":"error"}', 'http://prometheus')).toThrow('query_range');
  });
});

describe('labels', () => {
  const event = (second: number, verdict: ReplayEvent['verdict']): ReplayEvent => ({
    at: at(second),
    verdict,
    score: 1,
    evidence: [],
  });
  const seconds = (from: number, to: number) => ({ fromMs: START_MS + from * 1000, toMs: START_MS + to * 1000 });

  it('labels - found, missed, false, and how late', () => {
    const events = [
      event(0, 'healthy'),
      event(110, 'degraded'),
      event(120, 'failing'),
      event(130, 'healthy'),
      event(500, 'degraded'),
    ];
    const score = scoreLabels([seconds(100, 200), seconds(300, 400)], events, START_MS + 510_000);
    expect(score).toEqual({ found: 1, missed: 1, false: 1, medianDelaySeconds: 10 });
  });

  it('labels - a verdict that began before a label and goes on finds it at once, and was false when it began', () => {
    const score = scoreLabels([seconds(100, 200)], [event(50, 'degraded')], START_MS + 300_000);
    expect(score).toEqual({ found: 1, missed: 0, false: 1, medianDelaySeconds: 0 });
    expect(scoreLabels([], [], START_MS)).toEqual({ found: 0, missed: 0, false: 0, medianDelaySeconds: null });
  });

  it.each([
    ['start,end\n2026-11-26 10:00:00,2026-11-26 11:00:00\n'],
    ['[["2026-11-26 10:00:00.000000","2026-11-26 11:00:00.000000"]]'],
    ['{"web1.csv": [{"start": "2026-11-26T10:00:00Z", "end": 1795690800}]}'],
  ])('labels - windows: %j', (text) => {
    const fromMs = Date.parse('2026-11-26T10:00:00Z');
    expect(parseLabels(text, 'labels', 0, 1)).toEqual([{ fromMs, toMs: fromMs + 3_600_000 }]);
  });

  it('labels - a moment counts for a hundredth of the recording around it', () => {
    expect(parseLabels('timestamp\n1000\n', 'labels', 0, 200_000)).toEqual([{ fromMs: 999_000, toMs: 1_001_000 }]);
    expect(() => parseLabels('[["then"]]', 'labels', 0, 1)).toThrow('labels: label 1');
    expect(() => parseLabels('{"a": 1}', 'labels', 0, 1)).toThrow('0 lists of labels');
  });
});
