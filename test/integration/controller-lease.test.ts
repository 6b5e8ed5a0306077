// The lease of the controller, lost in each of the ways in which it can be lost: it ends, and does nothing any more.
import { describe, expect, it, vi } from 'vitest';
import { codeOf, UnderstudyError } from '../../src/base/mod.ts';
import type { Store } from '../../src/store/mod.ts';
import { eachWithALife, leaseClock, life, start, untilPhase } from '../rig/controller-life.ts';
import { eventually } from '../rig/wait.ts';

const LEASE_MS = 10_000;

eachWithALife();

/** Stores that are opened from now on renew leases as this says; it throws, or the lease is renewed. */
function onRenewal(said: () => void = () => undefined): { renewals: number; refused: number } {
  const counted = { renewals: 0, refused: 0 };
  const open = life.memory.open.bind(life.memory);
  life.memory.open = (options) => {
    const store = open(options);
    const take = store.lease.bind(store);
    const lease: Store['lease'] = async (...args) => {
      const given = await take(...args);
      if (given === null) return null;
      const renew = async (): Promise<void> => {
        counted.renewals += 1;
        said();
        await given.renew().catch((error: unknown) => {
          counted.refused += 1;
          throw error;
        });
      };
      const { name, holder, epoch } = given;
      return { name, holder, epoch, renew, release: () => given.release() };
    };
    return Object.assign(store, { lease });
  };
  return counted;
}

async function ending(ended: Promise<Error | null>): Promise<string | null | 'goes on'> {
  let seen: Error | null | 'goes on' = 'goes on';
  void ended.then((error) => {
    seen = error;
  });
  await Promise.resolve();
  return seen === 'goes on' || seen === null ? seen : codeOf(seen);
}

describe('a controller that has lost its lease', () => {
  it('lease - another has taken it: the first ends by its next renewal, without a call that would have told it', async () => {
    const counted = onRenewal();
    const controller = await start('advise');
    life.aheadMs += LEASE_MS + 1;
    const other = await life.memory.open({ clock: leaseClock }).lease('controller', 'two', LEASE_MS);
    expect(other).not.toBeNull();
    const over = await controller.ended;
    expect([codeOf(over), counted.refused]).toEqual(['LEASE_LOST', 1]);
    await expect(controller.clone({ lead: 'web1', to: 'spare1' })).rejects.toThrow();
    expect(life.plant.isOn('spare1')).toBe(false);
    await other?.release();
  });

  it('lease - a store that cannot be asked ends it when its lease has run out, and not before', async () => {
    let away = false;
    const counted = onRenewal(() => {
      if (away) throw new UnderstudyError('STORE_FAILED', 'the disk is away');
    });
    const controller = await start('advise');
    await eventually('it is renewed', () => counted.renewals > 1);
    away = true;
    const from = counted.renewals;
    await eventually('renewals fail', () => counted.renewals > from + 2);
    expect(await ending(controller.ended)).toBe('goes on');
    const now = performance.now.bind(performance);
    const ahead = vi.spyOn(performance, 'now').mockImplementation(() => now() + LEASE_MS);
    try {
      expect(codeOf(await controller.ended)).toBe('STORE_FAILED');
    } finally {
      ahead.mockRestore();
    }
  });

  it('lease - a driver that refuses its epoch while the lease is its own is an error like any other', async () => {
    const controller = await start('advise');
    const { detach } = life.plant.storage;
    Object.assign(life.plant.storage, {
      detach: async (...args: Parameters<typeof detach>) => {
        Object.assign(life.plant.storage, { detach });
        throw new UnderstudyError('EPOCH_STALE', `${args[0]}: the epoch 1 is too low`);
      },
    });
    const { engagement } = await controller.clone({ lead: 'web1', to: 'spare1' });
    await untilPhase(controller, engagement, 'serving');
    expect(await ending(controller.ended)).toBe('goes on');
  });

  it('lease - a driver that refuses its epoch when the lease is gone ends it', async () => {
    let gone = false;
    onRenewal(() => {
      if (gone) throw new UnderstudyError('LEASE_LOST', 'another has it');
    });
    const controller = await start('advise');
    Object.assign(life.plant.storage, {
      detach: async () => {
        gone = true;
        throw new UnderstudyError('EPOCH_STALE', 'spare1: the epoch 1 is too low');
      },
    });
    await controller.clone({ lead: 'web1', to: 'spare1' });
    expect(['EPOCH_STALE', 'LEASE_LOST']).toContain(codeOf(await controller.ended));
  });
});
