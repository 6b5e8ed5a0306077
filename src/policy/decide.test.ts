import { describe, expect, it } from 'vitest';
import type { PolicyEngagement, PolicyService, RateSample, ServiceFacts, ServingHost } from './contract.ts';
import { decide, verdictOf } from './decide.ts';

const NOW = 1_000_000_000;

const service: PolicyService = {
  name: 'wiki',
  hostsMax: 3,
  windows: { fastSeconds: 10, slowSeconds: 60 },
  scaleOut: { cooldownSeconds: 0, atOnce: 1 },
  scaleIn: { windowSeconds: 100, headroom: 0.7, cooldownSeconds: 50 },
};

function host(name: string, verdict: ServingHost['verdict'], forMs = 1_000_000): ServingHost {
  return { name, verdict, verdictSinceMs: NOW - forMs, evidence: [], lacksCapacity: true };
}

function engagement(understudy: string, edit: Partial<PolicyEngagement> = {}): PolicyEngagement {
  return {
    name: `wiki-${understudy}`,
    understudy,
    origin: 'automatic',
    goal: 'serve',
    phase: 'serving',
    admittedAt: NOW - 800_000,
    breach: { rate: 100, hosts: 1 },
    ...edit,
  };
}

function rates(perSecond: (index: number) => number | null, windowMs = 100_000): RateSample[] {
  const count = windowMs / 2000;
  return Array.from({ length: count }, (_, index) => ({
    atMs: NOW - windowMs + index * 2000,
    rate: perSecond(index),
    arriving: perSecond(index),
  }));
}

function facts(edit: Partial<ServiceFacts>): ServiceFacts {
  return {
    nowMs: NOW,
    service,
    serving: [host('web1', 'healthy')],
    engagements: [],
    freeSpares: ['spare1', 'spare2'],
    rates: rates(() => 10),
    lastChangeMs: null,
    ...edit,
  };
}

describe('scaling out', () => {
  const degraded = [host('web1', 'degraded')];

  it('policy - a broken objective engages the first free spare', () => {
    expect(decide(facts({ serving: degraded }))).toMatchObject({
      action: 'scale-out',
      outcome: 'wanted',
      subject: 'spare1',
    });
    expect(decide(facts({ serving: degraded, freeSpares: ['spare2'] })).subject).toBe('spare2');
  });

  it('policy - an understudy on its way is counted: no second one meanwhile', () => {
    for (const phase of ['choose', 'replicate', 'prove', 'admit'] as const) {
      const decision = decide(facts({ serving: degraded, engagements: [engagement('spare1', { phase })] }));
      expect(decision).toMatchObject({ action: 'none', reason: 'spare1 is on its way' });
    }
  });

  it('policy - what the slow window holds from before the last change breaks nothing', () => {
    const serving = [...degraded, host('spare1', 'healthy')];
    const engagements = [engagement('spare1')];
    expect(decide(facts({ serving, engagements, lastChangeMs: NOW - 59_000 })).action).toBe('none');
    expect(decide(facts({ serving, engagements, lastChangeMs: NOW - 60_000 })).action).toBe('scale-out');
  });

  it('policy - on a further decrease a third host is engaged, and no fourth beyond the maximum', () => {
    const two = facts({
      serving: [...degraded, host('spare1', 'degraded')],
      engagements: [engagement('spare1')],
      freeSpares: ['spare2'],
    });
    expect(decide(two)).toMatchObject({ action: 'scale-out', outcome: 'wanted', subject: 'spare2' });
    const three = facts({
      serving: degraded,
      engagements: [engagement('spare1'), engagement('spare2')],
      freeSpares: ['spare3'],
    });
    expect(decide(three)).toMatchObject({ action: 'scale-out', outcome: 'refused', subject: null });
  });

  it('policy - hosts that failed or are leaving count for the maximum', () => {
    const engagements = [
      engagement('spare1', { phase: 'restore', goal: 'release' }),
      engagement('spare2', { phase: 'off', goal: 'release' }),
    ];
    expect(decide(facts({ serving: degraded, engagements, freeSpares: ['spare3'] }))).toMatchObject({
      outcome: 'refused',
    });
  });

  it('policy - nothing is engaged before the load was measured, nor where no request comes through the director', () => {
    expect(decide(facts({ serving: degraded, rates: [] })).reason).toBe('the load is not measured yet');
    expect(decide(facts({ serving: degraded, rates: rates(() => null) })).action).toBe('none');
    expect(decide(facts({ serving: degraded, rates: rates(() => 0) })).reason).toContain('would not help');
  });

  it('policy - what is recovering already, or a spike, needs no host', () => {
    const recovering = { ...host('web1', 'degraded'), lacksCapacity: false };
    expect(decide(facts({ serving: [recovering] })).reason).toContain('calls for no host');
    const other = host('spare1', 'failing');
    expect(decide(facts({ serving: [recovering, other] }))).toMatchObject({ action: 'scale-out', verdict: 'failing' });
  });

  it('policy - where more requests come than all carry, the next need not wait for the first, as far as somebody allows', () => {
    const at = (atOnce: number, arriving: number, coming: number, verdict: 'degraded' | 'healthy' = 'degraded') =>
      decide(
        facts({
          service: { ...service, hostsMax: 5, scaleOut: { cooldownSeconds: 0, atOnce } },
          serving: [host('web1', verdict)],
          engagements: Array.from({ length: coming }, (_, index) =>
            engagement(`spare${index + 1}`, { phase: 'replicate' }),
          ),
          freeSpares: ['spare9'],
          rates: rates(() => 100).map((sample) => ({ ...sample, arriving })),
        }),
      );
    expect(at(2, 201, 1)).toMatchObject({ action: 'scale-out', subject: 'spare9' });
    expect(at(2, 200, 1).reason).toBe('spare1 is on its way');
    expect(at(1, 900, 1).reason).toBe('spare1 is on its way');
    expect(at(2, 900, 2).reason).toBe('spare1 and spare2 are on their way');
    expect(at(3, 301, 2).action).toBe('scale-out');
    expect(at(3, 300, 2).action).toBe('none');
    expect(at(3, 900, 1, 'healthy').reason).toBe('spare1 is on its way');
  });

  it('policy - what comes and waits counts for the headroom too', () => {
    const serving = [host('web1', 'healthy'), host('spare1', 'healthy')];
    const engagements = [engagement('spare1')];
    const waiting = rates(() => 10).map((sample, index) => ({ ...sample, arriving: index === 20 ? 90 : 10 }));
    const base = { serving, engagements, lastChangeMs: NOW - 800_000 };
    expect(decide(facts({ ...base, rates: rates(() => 10) })).action).toBe('scale-in');
    expect(decide(facts({ ...base, rates: waiting })).reason).toContain('would not leave enough headroom');
  });

  it('policy - another host does not help against what lies outside of the hosts', () => {
    const outside = { host: null, text: 'the database is slow', values: {} };
    const decision = decide(facts({ serving: degraded, outside }));
    expect(decision).toMatchObject({ action: 'scale-out', outcome: 'refused', subject: null });
    expect(decision.reason).toContain('the database is slow');
    expect(decision.evidence).toContain(outside);
  });

  it('policy - hosts are added no faster than somebody wants', () => {
    const cool = { ...service, scaleOut: { cooldownSeconds: 120, atOnce: 1 } };
    const since = (lastChangeMs: number) => decide(facts({ service: cool, serving: degraded, lastChangeMs }));
    expect(since(NOW - 119_000).reason).toContain('too recent to add');
    expect(since(NOW - 120_000).action).toBe('scale-out');
  });

  it('policy - without a free spare it is refused, with the reason', () => {
    const decision = decide(facts({ serving: degraded, freeSpares: [] }));
    expect(decision).toMatchObject({ action: 'scale-out', outcome: 'refused' });
    expect(decision.reason).toContain('no spare of the pool is free');
  });
});

describe('scaling in', () => {
  const serving = [host('web1', 'healthy'), host('spare1', 'healthy')];
  const engagements = [engagement('spare1')];
  const ready = { serving, engagements, freeSpares: [], lastChangeMs: NOW - 800_000 };

  it('policy - with headroom for a whole window the newest understudy is released', () => {
    const decision = decide(facts({ ...ready, rates: rates(() => 69) }));
    expect(decision).toMatchObject({ action: 'scale-in', outcome: 'wanted', subject: 'wiki-spare1' });
    expect(decision.evidence.at(-1)?.values).toMatchObject({ highestRate: 69, allowedRate: 70 });
  });

  it.each([
    ['one moment of the window had more load', { rates: rates((index) => (index === 20 ? 71 : 10)) }],
    ['the load of one moment is not known', { rates: rates((index) => (index === 20 ? null : 10)) }],
    ['the load is known for the end of the window only', { rates: rates(() => 10, 60_000) }],
    ['nothing is known of the load', { rates: [] }],
    [
      'a host became healthy within the window',
      { serving: [host('web1', 'healthy', 99_000), host('spare1', 'healthy')] },
    ],
    ['a host says nothing', { serving: [host('web1', 'healthy'), host('spare1', 'unknown')] }],
    ['the last change is too recent', { lastChangeMs: NOW - 49_000 }],
    [
      'what a host carries was not measured',
      { engagements: [engagement('spare1', { breach: { rate: null, hosts: 1 } })] },
    ],
    ['the understudy was asked for by hand', { engagements: [engagement('spare1', { origin: 'manual' })] }],
  ] as const)('policy - nothing is taken away when %s', (_, edit) => {
    expect(decide(facts({ ...ready, ...edit })).action).toBe('none');
  });
});

describe('no host at all', () => {
  it('policy - is unknown', () => {
    expect(verdictOf([]).verdict).toBe('unknown');
    expect(decide(facts({ serving: [], engagements: [engagement('spare1')] })).action).toBe('none');
  });
});
