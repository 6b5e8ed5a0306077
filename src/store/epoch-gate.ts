// The gate of src/base/call.ts, remembered in a store: it holds for every process that opens the store, and after any
// crash.
import { assert, type EpochGate, epochStale, UnderstudyError } from '../base/mod.ts';
import type { Store } from './contract.ts';
import { update } from './update.ts';

/**
 * The key for a thing, another one for each. Names of things are made of names that people chose; what cannot be in a
 * key is told by its bytes: "power/Web 1" is remembered under "epoch/power/_57_eb_20_1".
 */
function keyOf(thing: string): string {
  const escaped = thing.replace(/[^a-z0-9./-]/gu, (character) => `_${Buffer.from(character).toString('hex')}_`);
  return `epoch/${escaped}`;
}

/** What is wrong with what is remembered of a thing; null: nothing. */
export function epochFlaw(value: unknown): string | null {
  return Number.isSafeInteger(value) && Number(value) >= 1 ? null : 'it is not the number of an epoch';
}

/**
 * Whatever was admitted stays admitted: when `admit` resolves, the epoch (or a higher one) is durable, and no lower one
 * passes. `admit` fails with STORE_FAILED when that cannot be had, and nothing may be done then.
 */
export function storeEpochGate(store: Store): EpochGate {
  return {
    async admit(thing, epoch) {
      assert(Number.isSafeInteger(epoch) && epoch >= 1, `${epoch} is no epoch`);
      const key = keyOf(thing);
      await update<number>(store, key, (highest) => {
        const flaw = highest === null ? null : epochFlaw(highest);
        if (flaw !== null) throw new UnderstudyError('RECORD_UNUSABLE', `the record ${key} cannot be used: ${flaw}`);
        if (highest !== null && epoch < highest) throw epochStale(thing, epoch, highest);
        return epoch;
      });
    },
  };
}
