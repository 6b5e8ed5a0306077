// The gate of the store, and the floor beside the volumes: a controller that was replaced is refused also when the
// store that knew of its successor is gone.
import { type EpochGate, epochStale } from '../../base/mod.ts';
import type { Floor } from './contract.ts';

export function gateAboveFloor(gate: EpochGate, floor: () => Promise<Pick<Floor, 'epoch'>>): EpochGate {
  return {
    async admit(thing, epoch) {
      const { epoch: highest } = await floor();
      if (epoch < highest) throw epochStale(thing, epoch, highest);
      await gate.admit(thing, epoch);
    },
  };
}
