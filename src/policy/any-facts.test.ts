// Decisions on any facts. What was reached is counted, and a run that did not come to each kind of decision often
// fails: a rule that is never tried is not proved.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Decision, PolicyEngagement, PolicyService, ServiceFacts } from './contract.ts';
import { decide, RATE_GAP_MS_MAX } from './decide.ts';

const NOW = 1_000_000_000;
const SECOND = 1000;
const RUNS = 8000;
/** Decisions of each kind in a run, at least. */
const EACH_MIN = 10;

const anyService: fc.Arbitrary<PolicyService> = fc.record({
  name: fc.constant('wiki'),
  hostsMax: fc.integer({ min: 1, max: 8 }),
  windows: fc.constant({ fastSeconds: 10, slowSeconds: 60 }),
  scaleOut: fc.record({ cooldownSeconds: fc.constantFrom(0, 0, 90), atOnce: fc.integer({ min: 1, max: 3 }) }),
  scaleIn: fc.record({
    windowSeconds: fc.constant(100),
    headroom: fc.constantFrom(0.5, 0.8),
    cooldownSeconds: fc.constantFrom(0, 50, 150),
  }),
});

const anyHost = (verdicts: fc.Arbitrary<'healthy' | 'degraded' | 'failing' | 'unknown'>) =>
  fc.record({
    name: fc.constantFrom('web1', 'spare1', 'spare2'),
    verdict: verdicts,
    lacksCapacity: fc.boolean(),
    verdictSinceMs: fc.oneof(
      { weight: 8, arbitrary: fc.constantFrom(NOW - 100 * SECOND, NOW - 1_000_000, NOW - 300 * SECOND) },
      { weight: 1, arbitrary: fc.constantFrom(null, NOW - 99 * SECOND, NOW) },
    ),
    evidence: fc.constant([]),
  });

/** Most services are of one mind; a few are not. */
const anyServing = fc.oneof(
  { weight: 4, arbitrary: fc.array(anyHost(fc.constant('healthy')), { minLength: 1, maxLength: 4 }) },
  {
    weight: 4,
    arbitrary: fc.array(anyHost(fc.constantFrom('healthy', 'degraded', 'failing')), { minLength: 1, maxLength: 4 }),
  },
  {
    weight: 2,
    arbitrary: fc.array(anyHost(fc.constantFrom('healthy', 'degraded', 'failing', 'unknown')), { maxLength: 4 }),
  },
);

const anyEngagement: fc.Arbitrary<PolicyEngagement> = fc.record({
  name: fc.integer({ min: 1, max: 1000 }).map((number) => `wiki-${number}`),
  understudy: fc.constantFrom('spare1', 'spare2', 'spare3'),
  origin: fc.constantFrom('automatic', 'automatic', 'automatic', 'manual'),
  goal: fc.constantFrom('serve', 'serve', 'serve', 'release'),
  phase: fc.oneof(
    { weight: 5, arbitrary: fc.constant('serving') },
    { weight: 2, arbitrary: fc.constantFrom('choose', 'fence', 'preserve', 'replicate', 'personalise', 'boot') },
    { weight: 1, arbitrary: fc.constantFrom('prove', 'admit', 'drain', 'off', 'restore', 'release') },
  ),
  admittedAt: fc.integer({ min: NOW - 900_000, max: NOW - 200_000 }),
  breach: fc.oneof(
    {
      weight: 5,
      arbitrary: fc.record({ rate: fc.integer({ min: 50, max: 200 }), hosts: fc.integer({ min: 1, max: 3 }) }),
    },
    { weight: 1, arbitrary: fc.constantFrom(null, { rate: null, hosts: 1 }, { rate: 0, hosts: 1 }) },
  ),
});

/** Every two seconds of the window; in a few cases some are missing or not known. */
const anyRates = fc
  .record({
    carried: fc.constantFrom(0, 5, 20, 100),
    peak: fc.option(fc.integer({ min: 0, max: 300 })),
    peakAt: fc.integer({ min: 0, max: 49 }),
    arriving: fc.constantFrom(1, 2, 6, 6),
    flaw: fc.oneof(
      { weight: 5, arbitrary: fc.constant('none' as const) },
      { weight: 2, arbitrary: fc.constantFrom('gap', 'unknown', 'short', 'old', 'empty', 'old', 'empty') },
    ),
  })
  .map(({ carried, peak, peakAt, arriving, flaw }) => {
    const all = Array.from({ length: 50 }, (_, index) => {
      const rate = index === peakAt && peak !== null ? peak : carried;
      const known = flaw !== 'unknown' || index !== 20;
      return {
        atMs: NOW - 100_000 + index * 2000,
        rate: known ? rate : null,
        arriving: known ? rate * arriving : null,
      };
    });
    if (flaw === 'empty') return [];
    if (flaw === 'gap') return all.filter((_, index) => index < 10 || index > 20);
    if (flaw === 'short') return all.slice(20);
    return flaw === 'old' ? all.slice(0, 30) : all;
  });

const anyFacts: fc.Arbitrary<ServiceFacts> = fc.record({
  nowMs: fc.constant(NOW),
  service: anyService,
  serving: anyServing,
  engagements: fc.array(anyEngagement, { maxLength: 4 }),
  others: fc.constantFrom(0, 0, 0, 1, 2),
  freeSpares: fc.subarray(['spare1', 'spare2', 'spare3', 'spare4']),
  rates: anyRates,
  lastChangeMs: fc.constantFrom(null, NOW - 1_000_000, NOW - 60_000, NOW - 59_999, NOW - 100_000),
  outside: fc.oneof(
    { weight: 5, arbitrary: fc.constant(null) },
    { weight: 1, arbitrary: fc.constant({ host: null, text: 'the database is slow', values: {} }) },
  ),
});

/** What stands for a kind of decision in its reason. */
const KINDS: readonly RegExp[] = [
  /^\S+ is on its way$/,
  /are on their way$/,
  /^it is not known how the service does/,
  /^the last change has not had time/,
  /calls for no host/,
  /too recent to add anything$/,
  /lies outside of the host/,
  /already has \d+ hosts/,
  /no spare of the pool is free$/,
  /^the load is not measured yet$/,
  /^no requests come through the director/,
  /and not recovering, on .* is free$/,
  /^the objective is met by the lead alone$/,
  /asked for by hand, and are dismissed by hand$/,
  /too recent to take anything away$/,
  /not been healthy for the whole window yet$/,
  /was not measured when \S+ was engaged/,
  /^the load is not known for the whole window$/,
  /would not leave enough headroom on one host less$/,
  /^for the whole window the load would have fitted/,
];

const COMING = ['choose', 'fence', 'preserve', 'replicate', 'personalise', 'boot', 'prove', 'admit'];
const isBroken = (verdict: string): boolean => verdict === 'degraded' || verdict === 'failing';
const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
const known = <T>(value: T | null | undefined): value is T => value !== null && value !== undefined;

function coming({ engagements }: ServiceFacts): number {
  return engagements.filter(({ goal, phase }) => goal === 'serve' && COMING.includes(phase)).length;
}

/** Everything that has to hold before a host is added. */
function expectRoom(facts: ServiceFacts, { subject }: Decision): void {
  const { service, engagements, others = 0, freeSpares, serving, lastChangeMs, rates } = facts;
  expect(2 + engagements.length + others).toBeLessThanOrEqual(service.hostsMax);
  expect(subject).toBe(freeSpares[0]);
  expect(serving.some(({ verdict, lacksCapacity }) => isBroken(verdict) && lacksCapacity)).toBe(true);
  expect(facts.outside ?? null).toBeNull();
  const waited = lastChangeMs === null ? Number.POSITIVE_INFINITY : NOW - lastChangeMs;
  expect(waited).toBeGreaterThanOrEqual(
    SECOND * Math.max(service.windows.slowSeconds, service.scaleOut.cooldownSeconds),
  );
  const recent = rates.filter(({ atMs }) => atMs >= NOW - SECOND * service.windows.fastSeconds);
  const carried = mean(recent.map(({ rate }) => rate).filter(known));
  expect(carried).toBeGreaterThan(0);
  const underWay = coming(facts);
  expect(underWay).toBeLessThan(service.scaleOut.atOnce);
  if (underWay === 0) return;
  const arriving = mean(recent.map((sample) => sample.arriving).filter(known));
  expect(arriving).toBeGreaterThan((carried / serving.length) * (serving.length + underWay));
}

/** Everything that has to hold before one is taken away. */
function expectSpareTime(facts: ServiceFacts, { subject }: Decision): void {
  const { service, engagements, serving, lastChangeMs, rates } = facts;
  const { windowSeconds, cooldownSeconds, headroom } = service.scaleIn;
  expect(coming(facts)).toBe(0);
  for (const { verdict, verdictSinceMs } of serving) {
    expect(verdict).toBe('healthy');
    expect(NOW - (verdictSinceMs ?? NOW)).toBeGreaterThanOrEqual(windowSeconds * SECOND);
  }
  const waited = lastChangeMs === null ? Number.POSITIVE_INFINITY : NOW - lastChangeMs;
  expect(waited).toBeGreaterThanOrEqual(cooldownSeconds * SECOND);
  const mayGo = engagements.filter(
    ({ origin, goal, phase }) => origin === 'automatic' && goal === 'serve' && phase === 'serving',
  );
  const chosen = mayGo.find(({ name }) => name === subject);
  expect(chosen?.admittedAt).toBe(Math.max(...mayGo.map(({ admittedAt }) => admittedAt ?? 0)));
  const times = [NOW - windowSeconds * SECOND, ...rates.map(({ atMs }) => atMs), NOW];
  const gaps = times.slice(1).map((time, index) => time - (times[index] ?? 0));
  expect(Math.max(...gaps)).toBeLessThanOrEqual(RATE_GAP_MS_MAX);
  expect(rates.every(({ rate }) => rate !== null)).toBe(true);
  const highest = Math.max(...rates.flatMap(({ rate, arriving }) => [rate ?? 0, arriving ?? 0]));
  const { rate, hosts } = chosen?.breach ?? { rate: 0, hosts: 1 };
  expect(highest).toBeLessThanOrEqual(headroom * ((rate ?? 0) / hosts) * (serving.length - 1));
}

describe('any facts', () => {
  it('policy - never more hosts than the maximum, and nothing taken away unless all are known to be healthy for long', () => {
    const reached = new Map<string, number>();
    const count = (what: string): void => void reached.set(what, (reached.get(what) ?? 0) + 1);
    fc.assert(
      fc.property(anyFacts, (facts) => {
        const decision = decide(facts);
        const { action, outcome, reason, subject } = decision;
        const kind = KINDS.find((one) => one.test(reason));
        expect([kind === undefined, reason]).toEqual([false, reason]);
        count(String(kind));
        if (outcome !== 'wanted') expect([subject, action === 'scale-in']).toEqual([null, false]);
        else if (action === 'scale-out') {
          expectRoom(facts, decision);
          count(coming(facts) > 0 ? 'another beside one on its way' : 'the first');
        } else {
          expect(action).toBe('scale-in');
          expectSpareTime(facts, decision);
        }
      }),
      { numRuns: RUNS },
    );
    const all = [...KINDS.map(String), 'another beside one on its way', 'the first'];
    expect(all.filter((what) => (reached.get(what) ?? 0) < EACH_MIN)).toEqual([]);
  });
});
