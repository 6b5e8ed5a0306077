// The suite that every driver of the store passes: src/store/contract.ts, sentence by sentence.
import { afterEach, describe } from 'vitest';
import { StoreBench, type StoreWorld } from './store-bench.ts';
import { describeLeases } from './store-leases.ts';
import { describeRecords } from './store-records.ts';
import { describeWatches } from './store-watches.ts';

export function describeStore(name: string, create: () => StoreWorld): void {
  describe(`store contract - ${name}`, () => {
    const bench = new StoreBench(create);
    afterEach(() => bench.clear());
    describeRecords(bench);
    describeWatches(bench);
    describeLeases(bench);
  });
}
