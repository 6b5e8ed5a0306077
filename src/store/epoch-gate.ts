// The gate of src/base/call.ts, remembered in a store: it holds for every process that opens the store, and after any crash.
import { assert, type EpochGate, epochStale } from '../base/mod.ts';
import type { Store } from './contract.ts';
import { update } from './update.ts';

/**
 * The key for a thing, another one for each. Names of things are made of names that people chose; what cannot be in a key is told
 * by its bytes: "power/Web 1" is remembered under "epoch/power/_57_eb_20_1".
 */
function keyOf(thing: string): string {
  const escaped = thing.replace(/[^a-z0-9./-]/gu, (character) => `_${Buffer.from(character).toString('hex')}_`);
  return `epoch/${escaped}`;
}

/**
 * Whatever was admitted stays admitted: when `admit` resolves, the epoch (or a higher one) is durable, and no lower one passes.
 * `admit` fails with STORE_FAILED when that cannot be had, and nothing may be done then.
 */
export function storeEpochGate(store: Store): EpochGate {
  return {
    async admit(thing, epoch) {
      assert(Number.isSafeInteger(epoch) && epoch >= 1, `${epoch} is no epoch`);
      await update<number>(store, keyOf(thing), (highest) => {
        if (highest !== null && epoch < highest) throw epochStale(thing, epoch, highest);
        return epoch;
      });
    },
  };
}
