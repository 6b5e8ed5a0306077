import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Step, stepToAdmit, stepToDrain, stepToRemove } from './placement.ts';
import { haproxySettings } from './settings.ts';
import type { BackendServer } from './state.ts';

const PLACE = 'wiki-reads/spare1';
const AT = { address: '10.0.0.12', port: 80 };
const SETTINGS = haproxySettings.parse({ socket: '/socket', backend: 'wiki', connectionsMax: 5 });

const COUNTERS = { requestsTotal: 0, errorsTotal: 0, responseTimeMs: null, checkMs: null, queued: 0 };

type Model = Omit<BackendServer, 'name' | 'text' | keyof typeof COUNTERS>;

function seen(model: Model): BackendServer {
  return { name: 'spare1', text: '', ...COUNTERS, ...model };
}

const fresh: Model = {
  ...AT,
  ordered: 'maint',
  up: false,
  weight: 1,
  checked: false,
  passed: false,
  connections: 0,
};

/** What HAProxy 2.6 makes of an order: as observed, and as its management guide says. */
function obey(model: Model | null, order: string): Model | null {
  if (order.startsWith('add server')) return model ?? fresh;
  if (model === null) return null;
  const [, , , verb, value] = order.split(' ');
  if (order.startsWith('enable health')) return { ...model, checked: model.ordered !== 'maint' };
  if (order.startsWith('del server')) return model.ordered === 'maint' && model.connections === 0 ? null : model;
  if (order.startsWith('shutdown sessions')) return { ...model, connections: 0 };
  if (verb === 'addr') return { ...model, ...AT };
  if (verb === 'weight') return { ...model, weight: 1 };
  if (value === 'maint') return { ...model, ordered: 'maint', up: false, checked: false, passed: false };
  if (value === 'drain') return { ...model, ordered: 'drain', up: true, checked: true };
  return { ...model, ordered: 'none' };
}

const models: fc.Arbitrary<Model | null> = fc.option(
  fc.record({
    address: fc.constantFrom(AT.address, '10.0.0.99'),
    port: fc.constantFrom(AT.port, 81),
    ordered: fc.constantFrom('none', 'drain', 'maint'),
    up: fc.boolean(),
    weight: fc.constantFrom(0, 1),
    checked: fc.boolean(),
    passed: fc.boolean(),
    connections: fc.nat(3),
  }),
);

/** Follows the steps from a state until they say that it is done; "wait" lets a check pass. */
function follow(
  model: Model | null,
  next: (seen: BackendServer | null) => Step,
): { end: Model | null; trail: Model[] } {
  const trail: Model[] = [];
  let now = model;
  for (let round = 0; round < 10; round++) {
    const step = next(now === null ? null : seen(now));
    if (step === 'done') return { end: now, trail };
    const orders = step === 'wait' ? [] : step.orders;
    if (step === 'wait' && now !== null) now = { ...now, passed: true, up: true };
    for (const order of orders) {
      now = obey(now, order);
      if (now !== null) trail.push(now);
    }
  }
  throw new Error(`never done from ${JSON.stringify(model)}`);
}

describe('orders for HAProxy', () => {
  it('add a server with all that it needs', () => {
    expect(stepToAdmit(PLACE, null, AT, SETTINGS)).toEqual({
      orders: [
        'add server wiki-reads/spare1 10.0.0.12:80 check inter 1000ms fastinter 250ms rise 2 fall 3 maxconn 5',
        'enable health wiki-reads/spare1',
        'set server wiki-reads/spare1 state drain',
      ],
    });
  });

  it('write IPv6 addresses in brackets', () => {
    const step = stepToAdmit(PLACE, null, { address: '2001:db8::1', port: 80 }, { ...SETTINGS, connectionsMax: null });
    expect(step).toMatchObject({
      orders: [
        'add server wiki-reads/spare1 [2001:db8::1]:80 check inter 1000ms fastinter 250ms rise 2 fall 3',
        expect.any(String),
        expect.any(String),
      ],
    });
  });

  it('admit from any state, and make nothing ready that was not checked at its address', () => {
    fc.assert(
      fc.property(models, (model) => {
        const { end, trail } = follow(model, (now) => stepToAdmit(PLACE, now, AT, SETTINGS));
        expect(end).toMatchObject({ ...AT, ordered: 'none', up: true, checked: true, passed: true, weight: 1 });
        const became = trail.filter((now, index) => now.ordered === 'none' && trail[index - 1]?.ordered === 'drain');
        for (const ready of became) expect(ready).toMatchObject({ ...AT, passed: true, checked: true });
      }),
    );
  });

  it('drain from any state, without cutting anything', () => {
    fc.assert(
      fc.property(models, (model) => {
        const { end } = follow(model, (now) => stepToDrain(PLACE, now));
        expect(end?.ordered).not.toBe('none');
        expect(end?.connections).toBe(model?.connections);
      }),
    );
  });

  it('remove from any state', () => {
    fc.assert(
      fc.property(models, (model) => {
        expect(follow(model, (now) => stepToRemove(PLACE, now)).end).toBeNull();
      }),
    );
  });
});
