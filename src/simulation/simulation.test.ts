import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Policy } from '../replay/mod.ts';
import type { HostModel, Scaler, Second } from './contract.ts';
import { simulate } from './hosts.ts';
import { ownScaler } from './own.ts';
import { horizontalPodAutoscaler, targetTracking } from './rivals.ts';
import { traceRates, traces } from './traces.ts';

const MODEL: HostModel = {
  capacity: 100,
  serviceMilliseconds: 50,
  copyCost: 0.1,
  copySeconds: 60,
  secondsToCapacity: 120,
  drainSeconds: 30,
  hostsMax: 4,
};

const POLICY: Policy = {
  signals: [
    {
      name: 'latency',
      objective: { below: 300, fastSeconds: null, slowSeconds: null, share: 0.5 },
      baseline: null,
      outside: false,
    },
  ],
  hostsMax: 4,
  secondsToCapacity: 120,
  scaleOut: { cooldownSeconds: 0, atOnce: 1 },
  scaleIn: { windowSeconds: null, headroom: 0.7, cooldownSeconds: 300 },
  load: null,
};

function constant(rate: number, seconds: number): Float64Array {
  return new Float64Array(seconds).fill(rate);
}

/** Does what a list says, and remembers what it saw. */
function scripted(steps: Readonly<Record<number, number>>, copies = false): Scaler & { readonly seen: Second[] } {
  const seen: Second[] = [];
  return {
    name: 'scripted',
    copies,
    seen,
    step(second) {
      seen.push(second);
      return steps[second.second] ?? 0;
    },
  };
}

const scalers = () => [ownScaler(POLICY, MODEL), horizontalPodAutoscaler(4), targetTracking(4)];

describe('the model of hosts', () => {
  it('simulation - a request takes longer the busier the host is, and waits when that is too much', () => {
    const idle = scripted({});
    simulate(constant(50, 10), MODEL, idle, 300);
    expect(idle.seen[5]).toMatchObject({ latencyMilliseconds: 100, utilization: 50, queue: 0, served: 50 });
    const busy = scripted({});
    expect(simulate(constant(150, 10), MODEL, busy, 300).violatedSeconds).toBe(10);
    expect(busy.seen[9]).toMatchObject({ utilization: 100, queue: 500, served: 100 });
    expect(busy.seen[9]?.latencyMilliseconds).toBeCloseTo(50 / 0.02 + 4500);
  });

  it('simulation - a host takes its time to come and to go, and costs meanwhile', () => {
    const scaler = scripted({ 0: 1, 200: -1 });
    const { hostHours, reversals, scaling } = simulate(constant(50, 300), MODEL, scaler, 300);
    expect(scaler.seen.filter(({ starting }) => starting === 1).map(({ second }) => second)).toHaveLength(120);
    expect(scaler.seen.filter(({ serving }) => serving === 2).map(({ second }) => second)).toHaveLength(80);
    expect(scaler.seen.filter(({ draining }) => draining === 1).map(({ second }) => second)).toHaveLength(30);
    expect(hostHours).toBeCloseTo((300 + 120 + 80 + 30) / 3600);
    expect(reversals).toBe(1);
    expect(scaling.map(({ action, hosts }) => [action, hosts])).toEqual([
      ['scale-out', 2],
      ['scale-in', 1],
    ]);
  });

  it('simulation - a copy costs the lead a part of what it can do', () => {
    const scaler = scripted({ 0: 1 }, true);
    simulate(constant(90, 100), MODEL, scaler, 300);
    expect(scaler.seen[30]?.utilization).toBeCloseTo(100);
    expect(scaler.seen[70]?.utilization).toBeCloseTo(90);
  });

  it('simulation - nobody passes the bounds, whatever comes', () => {
    const stretch = fc.record({ count: fc.integer({ min: 1, max: 600 }), rate: fc.constantFrom(0, 20, 90, 300, 2000) });
    fc.assert(
      fc.property(fc.array(stretch, { minLength: 1, maxLength: 6 }), (all) => {
        const rates = Float64Array.from(all.flatMap(({ count, rate }) => Array.from({ length: count }, () => rate)));
        for (const scaler of scalers()) {
          const { scaling } = simulate(rates, MODEL, scaler, 300);
          for (const { hosts } of scaling) expect(hosts >= 1 && hosts <= MODEL.hostsMax).toBe(true);
        }
      }),
      { numRuns: 40 },
    );
  });
});

describe('how others scale', () => {
  const at = (second: number, utilization: number, serving: number): Second => ({
    ...{ second, utilization, serving, rate: 0, served: 0, latencyMilliseconds: 0, queue: 0, starting: 0, draining: 0 },
  });

  it('simulation - Kubernetes: the ratio to the target, nothing within a tenth of it, down after five minutes', () => {
    const hpa = horizontalPodAutoscaler(10);
    expect(hpa.step(at(0, 88, 2))).toBe(0);
    expect(horizontalPodAutoscaler(10).step(at(0, 100, 2))).toBe(1);
    const calm = horizontalPodAutoscaler(10);
    calm.step(at(0, 80, 4));
    const taken = Array.from({ length: 400 }, (_, index) => calm.step(at(index + 1, 10, 4)));
    expect(taken.findIndex((change) => change < 0)).toBeGreaterThanOrEqual(299);
    expect(taken.some((change) => change < 0)).toBe(true);
  });

  it('simulation - target tracking: out after three minutes above the target, in after fifteen below nine tenths of it', () => {
    const up = targetTracking(10);
    const steps = Array.from({ length: 240 }, (_, second) => up.step(at(second, 80, 2)));
    expect(steps.findIndex((change) => change > 0)).toBe(179);
    expect(steps[179]).toBe(2);
    const down = targetTracking(10);
    const less = Array.from({ length: 1000 }, (_, second) => down.step(at(second, 20, 4)));
    expect(less.findIndex((change) => change < 0)).toBe(899);
  });
});

describe('our own decisions', () => {
  it('simulation - no host is added where one is enough', () => {
    expect(simulate(constant(60, 3600), MODEL, ownScaler(POLICY, MODEL), 300)).toMatchObject({
      violatedSeconds: 0,
      scaling: [],
    });
  });

  it.each(Object.keys(traces))('simulation - %s: as few reversals as anybody', (name) => {
    const rates = traceRates(name) ?? new Float64Array();
    const [own, ...rivals] = scalers().map((scaler) => simulate(rates, MODEL, scaler, 300));
    for (const rival of rivals) expect(own?.reversals).toBeLessThanOrEqual(rival.reversals);
  });
});
