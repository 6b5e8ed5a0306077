// Part of the store's suite: leases. The tests own the time.
import { expect, it } from 'vitest';
import { codeOf, present, seededRandom } from '../../src/base/mod.ts';
import type { Lease, LeaseClock, Store } from '../../src/store/mod.ts';
import { failure, type StoreBench } from './store-bench.ts';

class HandClock implements LeaseClock {
  ms = 1_000_000;
  era = 'boot-1';

  nowMs(): number {
    return this.ms;
  }
}

async function held(lease: Promise<Lease | null>): Promise<Lease> {
  return present(await lease, 'lease');
}

export function describeLeases(bench: StoreBench): void {
  describeHolding(bench);
  describeLosing(bench);
  describeTime(bench);
}

function describeHolding(bench: StoreBench): void {
  it('leases to one holder at a time', async () => {
    const [one, other] = [await bench.open(), await bench.open()];
    const lease = await held(one.lease('controller', 'a', 10_000));
    expect(lease).toMatchObject({ name: 'controller', holder: 'a', epoch: 1 });
    expect(await other.lease('controller', 'b', 10_000)).toBe(null);
    expect(await one.lease('controller', 'b', 10_000)).toBe(null);
    expect((await held(other.lease('another', 'b', 10_000))).epoch).toBe(1);
  });

  it('leases to the same holder again, with the same epoch and for longer', async () => {
    const clock = new HandClock();
    const store = await bench.open({ clock });
    const first = await held(store.lease('a', 'me', 1000));
    clock.ms += 900;
    const again = await held(store.lease('a', 'me', 1000));
    expect(again.epoch).toBe(first.epoch);
    clock.ms += 900;
    expect(await store.lease('a', 'you', 1000)).toBe(null);
    await first.renew();
    await again.renew();
  });

  it('leases apart from records', async () => {
    const store = await bench.open();
    await held(store.lease('a', 'me', 1000));
    expect(await store.list('')).toEqual([]);
    expect(await store.get('a')).toBe(null);
    await store.put('a', 1, 0);
    expect(await store.lease('a', 'you', 1000)).toBe(null);
  });

  it('leases: of many who ask at once, one gets it', async () => {
    const stores = [await bench.open(), await bench.open()];
    for (let round = 0; round < 10; round += 1) {
      const asked = Array.from({ length: 8 }, (_, index) =>
        present(stores[index % 2], 'store').lease('a', `h${index}`, 60_000),
      );
      const got = (await Promise.all(asked)).filter((lease) => lease !== null);
      expect(got.map(({ epoch }) => epoch)).toEqual([round + 1]);
      await present(got[0], 'lease').release();
    }
  });

  it.each(['__proto__', 'constructor', 'controller/b-seed'])('leases the name %s', async (name) => {
    const store = await bench.open();
    expect((await held(store.lease(name, '__proto__', 1000))).epoch).toBe(1);
    expect(await store.lease(name, 'you', 1000)).toBe(null);
  });

  it.each([
    ['no holder', '', 1000],
    ['a long holder', 'x'.repeat(201), 1000],
    ['too short a time', 'me', 99],
    ['too long a time', 'me', 600_001],
    ['no time', 'me', Number.NaN],
  ])('leases: refuses %s', async (_what, holder, ttlMs) => {
    const store = await bench.open();
    expect(await failure(() => store.lease('a', holder, ttlMs))).toBe('STORE_INVALID');
    expect((await held(store.lease('a', 'x'.repeat(200), 100))).epoch).toBe(1);
  });
}

function describeLosing(bench: StoreBench): void {
  it('leases until the time is over, and raises the epoch for whoever is next', async () => {
    const clock = new HandClock();
    const store = await bench.open({ clock });
    const mine = await held(store.lease('a', 'me', 1000));
    clock.ms += 999;
    expect(await store.lease('a', 'you', 1000)).toBe(null);
    clock.ms += 1;
    const yours = await held(store.lease('a', 'you', 1000));
    expect(yours.epoch).toBe(mine.epoch + 1);
    expect(await failure(() => mine.renew())).toBe('LEASE_LOST');
    await yours.renew();
    clock.ms += 1000;
    // The same holder, but somebody may have been between: the epoch says so.
    expect((await held(store.lease('a', 'you', 1000))).epoch).toBe(yours.epoch + 1);
  });

  it('leases: an expired one cannot be renewed, also when nobody else has it', async () => {
    const clock = new HandClock();
    const store = await bench.open({ clock });
    const lease = await held(store.lease('a', 'me', 1000));
    clock.ms += 1000;
    expect(await failure(() => lease.renew())).toBe('LEASE_LOST');
  });

  it('leases: renewing makes it last its time from now', async () => {
    const clock = new HandClock();
    const store = await bench.open({ clock });
    const lease = await held(store.lease('a', 'me', 1000));
    for (let index = 0; index < 5; index += 1) {
      clock.ms += 999;
      expect(await store.lease('a', 'you', 1000)).toBe(null);
      await lease.renew();
    }
    clock.ms += 1000;
    expect((await held(store.lease('a', 'you', 1000))).epoch).toBe(2);
  });

  it('leases: released, it is free at once, and its epoch is used up', async () => {
    const store = await bench.open();
    const mine = await held(store.lease('a', 'me', 60_000));
    await mine.release();
    expect(await failure(() => mine.renew())).toBe('LEASE_LOST');
    await mine.release();
    const yours = await held(store.lease('a', 'you', 60_000));
    expect(yours.epoch).toBe(mine.epoch + 1);
    // Of what one has no more nothing can be given up.
    await mine.release();
    await yours.renew();
    await yours.release();
    expect((await held(store.lease('a', 'you', 60_000))).epoch).toBe(yours.epoch + 1);
  });

  it('leases outlive the store that took them, as they outlive a process', async () => {
    const clock = new HandClock();
    const [one, other] = [await bench.open({ clock }), await bench.open({ clock })];
    const mine = await held(one.lease('a', 'me', 1000));
    await one.close();
    expect(await other.lease('a', 'you', 1000)).toBe(null);
    clock.ms += 1000;
    expect((await held(other.lease('a', 'you', 1000))).epoch).toBe(mine.epoch + 1);
  });
}

function describeTime(bench: StoreBench): void {
  it('leases of before the machine was started are over, whatever its clock says', async () => {
    const clock = new HandClock();
    const store = await bench.open({ clock });
    const mine = await held(store.lease('a', 'me', 600_000));
    clock.ms = 5;
    clock.era = 'boot-2';
    const yours = await held(store.lease('a', 'you', 1000));
    expect(yours.epoch).toBe(mine.epoch + 1);
    expect(await failure(() => mine.renew())).toBe('LEASE_LOST');
  });

  it('leases: a clock that steps back ends none early', async () => {
    const clock = new HandClock();
    const store = await bench.open({ clock });
    const mine = await held(store.lease('a', 'me', 1000));
    clock.ms -= 500_000;
    expect(await store.lease('a', 'you', 1000)).toBe(null);
    await mine.renew();
    clock.ms += 1000;
    const yours = await held(store.lease('a', 'you', 1000));
    clock.ms -= 1000;
    expect(await failure(() => mine.renew())).toBe('LEASE_LOST');
    await yours.renew();
  });

  it('leases: at no time two holders, whatever is done and however the clock jumps', async () => {
    const clock = new HandClock();
    const stores = [await bench.open({ clock }), await bench.open({ clock })];
    const { below } = seededRandom(3);
    const taken: Lease[] = [];
    const holderOf = new Map<number, string>();
    const jumps = [() => below(300), () => below(3000), () => -below(5000), () => 0];
    for (let step = 0; step < 250; step += 1) {
      clock.ms += present(jumps[below(jumps.length)], 'jump')();
      if (below(40) === 0) clock.era = `boot-${step}`;
      if (below(8) === 0 && taken.length > 0) await present(taken[below(taken.length)], 'lease').release();
      const store: Store = present(stores[below(2)], 'store');
      const lease = await store.lease('a', `h${below(4)}`, 100 + below(1500));
      if (lease !== null) taken.push(lease);
      for (const { epoch, holder } of lease === null ? [] : [lease]) {
        expect(holderOf.get(epoch) ?? holder).toBe(holder);
        holderOf.set(epoch, holder);
      }
      if (step % 5 !== 0) continue;
      const renewed = new Set<string>();
      for (const one of taken.slice(-12)) if (await renews(one)) renewed.add(`${one.holder} ${one.epoch}`);
      expect(renewed.size).toBeLessThanOrEqual(1);
    }
    expect(holderOf.size).toBeGreaterThan(20);
  });
}

async function renews(lease: Lease): Promise<boolean> {
  try {
    await lease.renew();
    return true;
  } catch (error) {
    if (codeOf(error) === 'LEASE_LOST') return false;
    throw error;
  }
}
