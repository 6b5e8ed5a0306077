// The agent's judgement by several signals, with time that flies and readings that the test makes.
import { describe, expect, it } from 'vitest';
import type { Readings } from './host-sensors.ts';
import { Learned } from './learned.ts';
import type { AgentSignal } from './protocol.ts';
import { type Standing, Watch } from './watch.ts';

const OBJECTIVE = { below: 40, fastSeconds: 10, slowSeconds: 60, share: 0.5 };
const CPU: AgentSignal = { name: 'cpu.pressure', objective: OBJECTIVE, baseline: null, outside: false };
const LEARNED = { direction: 'above' as const, learnSamples: 300 };

class Rig {
  nowMs = 1_000_000;
  readonly values = new Map<string, number | null>([
    ['cpu.pressure', 1],
    ['io.pressure', 1],
    ['network.retransmits', 0],
  ]);
  readonly changes: [Standing, boolean][] = [];
  readonly watch: Watch;
  readonly learned = new Learned(null, () => undefined);
  #seconds = 0;

  constructor(...signals: readonly AgentSignal[]) {
    this.watch = new Watch({
      sensors: { sample: () => this.#readings() },
      clock: { nowMs: () => this.nowMs },
      signal: new AbortController().signal,
      command: null,
      learned: this.learned,
      onChange: (standing, isVerdict) => this.changes.push([standing, isVerdict]),
    });
    this.watch.instruct(signals, null);
  }

  /** Each second differs a little from the others. */
  #readings(): Readings {
    const wobble = Math.sin(this.#seconds * 2.3) + Math.sin(this.#seconds * 0.7);
    return new Map(
      [...this.values].map(([name, value]) => [name, { value: value === null ? null : value + wobble, unit: '%' }]),
    );
  }

  pass(seconds: number, values: Readonly<Record<string, number | null>> = {}): this {
    for (const [name, value] of Object.entries(values)) this.values.set(name, value);
    for (let second = 0; second < seconds; second += 1) {
      this.#seconds += 1;
      this.nowMs += 1000;
      this.watch.tick();
    }
    return this;
  }

  get verdict(): string {
    return this.watch.standing.verdict;
  }
}

describe('a host with several signals', () => {
  it('watch - is as its worst signal says, and tells which that is', () => {
    const rig = new Rig(CPU, { ...CPU, name: 'io.pressure' }).pass(60);
    expect(rig.verdict).toBe('healthy');
    rig.pass(35, { 'io.pressure': 60 });
    expect(rig.watch.standing).toMatchObject({ verdict: 'degraded', lacksCapacity: true, outside: null });
    expect(rig.watch.standing.score).toBeGreaterThanOrEqual(1);
    const texts = rig.watch.standing.evidence.map(({ text }) => text);
    expect(texts[0]).toBe('io.pressure breaks its objective in both windows');
    expect(texts.some((text) => text.startsWith('cpu.pressure'))).toBe(false);
  });

  it('watch - what is recovering lacks no capacity, and that is told at once though the verdict is the same', () => {
    const rig = new Rig(CPU).pass(60).pass(40, { 'cpu.pressure': 60 });
    expect(rig.watch.standing.lacksCapacity).toBe(true);
    const before = rig.changes.length;
    rig.pass(8, { 'cpu.pressure': 1 });
    expect(rig.watch.standing).toMatchObject({ verdict: 'degraded', lacksCapacity: false });
    expect(rig.changes.slice(before).map(([{ verdict }, isVerdict]) => [verdict, isVerdict])).toEqual([
      ['degraded', false],
    ]);
  });

  it('watch - failing is when all of the slow window breaks it, and half of the fast one by twice as much', () => {
    const rig = new Rig(CPU).pass(60).pass(70, { 'cpu.pressure': 70 });
    expect(rig.verdict).toBe('degraded');
    expect(rig.pass(10, { 'cpu.pressure': 95 }).verdict).toBe('failing');
    expect(rig.pass(1, { 'cpu.pressure': 1 }).verdict).toBe('degraded');
  });

  it('watch - what lies outside is degraded too, says so, and calls for no host', () => {
    const rig = new Rig(CPU, { ...CPU, name: 'network.retransmits', outside: true }).pass(60);
    rig.pass(40, { 'network.retransmits': 60 });
    expect(rig.watch.standing).toMatchObject({ verdict: 'degraded', lacksCapacity: false });
    expect(rig.watch.standing.outside?.text).toContain('network.retransmits above 40');
  });

  it('watch - a baseline is learned, a shift calls for a host, a spike does not', () => {
    const learned = { ...CPU, objective: null, baseline: LEARNED };
    const rig = new Rig(learned).pass(200, { 'cpu.pressure': 20 });
    expect(rig.verdict).toBe('unknown');
    expect(rig.watch.standing.evidence[0]?.text).toMatch(
      /^what is usual for cpu\.pressure is not known yet: \d+ samples/,
    );
    expect(rig.pass(400).verdict).toBe('healthy');
    rig.pass(1, { 'cpu.pressure': 60 });
    expect(rig.watch.standing).toMatchObject({ verdict: 'degraded', lacksCapacity: false });
    rig.pass(100, { 'cpu.pressure': 20 });
    expect(rig.verdict).toBe('healthy');
    rig.pass(60, { 'cpu.pressure': 45 });
    expect(rig.watch.standing.lacksCapacity).toBe(true);
    expect(rig.watch.standing.evidence[0]?.text).toContain('a shift over about');
  });

  it('watch - a signal without values makes all unknown, unless another is broken, and says why', () => {
    const rig = new Rig(CPU, { ...CPU, name: 'io.pressure' }).pass(60).pass(10, { 'io.pressure': null });
    expect(rig.verdict).toBe('unknown');
    expect(rig.watch.standing.evidence.map(({ text }) => text)).toContainEqual(
      expect.stringContaining('io.pressure has no value'),
    );
    expect(rig.pass(40, { 'cpu.pressure': 60 }).verdict).toBe('degraded');
  });

  it('watch - the same instruction again keeps what was learned, another begins anew', () => {
    const learned = { ...CPU, objective: null, baseline: { ...LEARNED, learnSamples: 100 } };
    const rig = new Rig(learned).pass(150);
    expect(rig.verdict).toBe('healthy');
    rig.watch.instruct([{ ...learned }], null);
    expect(rig.pass(1).verdict).toBe('healthy');
    rig.watch.instruct([learned, CPU], null);
    expect(rig.verdict).toBe('unknown');
    // But what a baseline has learned stays.
    expect(rig.watch.standing.evidence.map(({ text }) => text).join()).not.toContain('is not known yet');
    expect(rig.pass(60).verdict).toBe('healthy');
  });
});

describe('what a heartbeat tells', () => {
  it('watch - of each signal the last value, and the highest and the mean since the last report that was delivered', () => {
    const rig = new Rig(CPU).pass(5);
    const told = rig.watch.summaries.all();
    const { value, max = 0, mean = 0, samples } = told['cpu.pressure'] ?? { samples: 0 };
    expect(samples).toBe(5);
    expect(max).toBeGreaterThan(mean);
    expect(value).toBeLessThanOrEqual(max);
    rig.watch.summaries.delivered(told);
    rig.pass(1, { 'cpu.pressure': 30 });
    expect(rig.watch.summaries.all()['cpu.pressure']).toMatchObject({ samples: 1 });
    // A report that is lost takes nothing with it.
    rig.pass(1, { 'cpu.pressure': null });
    const later = rig.watch.summaries.all()['cpu.pressure'];
    expect(later).toMatchObject({ value: null, samples: 1 });
    expect(later?.max).toBeGreaterThan(25);
  });
});
