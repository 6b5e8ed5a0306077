// A row of the ring's consumer table, held by the lock on its byte.
import { limits, UnderstudyError } from '../../base/mod.ts';
import { tryLock, unlock } from '../../linux/mod.ts';
import { Activity, type ConsumerEntry, ConsumerState, LockByte, type NeedSet, type Ring } from '../ring/mod.ts';

export interface Seat {
  readonly entry: ConsumerEntry;
  /** Block that was taken first; -1 while none was. Readable after leaving. */
  readonly startBlock: number;
  /** Gives the row back. Idempotent. */
  leave(): void;
}

/**
 * Takes a free row and fills in the need-set; taking part starts with ConsumerCore.attach. The lock comes before the state:
 * a row whose state says it is taken and whose lock is free belongs to a dead consumer, and only the producer frees it.
 * @throws RING_CONSUMERS_MAX
 */
export function takeSeat(ring: Ring, fd: number, options: { name: string; pace: boolean; needs: NeedSet }): Seat {
  for (const entry of ring.entries) {
    if (entry.get('state') !== ConsumerState.free || !tryLock(fd, LockByte.consumer + entry.index)) continue;
    if (entry.get('state') !== ConsumerState.free) {
      unlock(fd, LockByte.consumer + entry.index);
      continue;
    }
    fillRow(ring, entry, options);
    return makeSeat(ring, fd, entry);
  }
  throw new UnderstudyError(
    'RING_CONSUMERS_MAX',
    `the running copy of this source already serves ${limits.CONSUMERS_MAX} targets; try again when one has ended`,
  );
}

function fillRow(ring: Ring, entry: ConsumerEntry, options: { name: string; pace: boolean; needs: NeedSet }): void {
  const needSet = ring.needSet(entry.index);
  for (let index = 0; index < needSet.words.length; index++) {
    Atomics.store(needSet.words, index, options.needs.words[index] ?? 0);
  }
  const count = needSet.count();
  entry.name = options.name;
  entry.set('pid', process.pid);
  entry.set('pace', options.pace ? 1 : 0);
  entry.set('detachments', 0);
  entry.set('heldUpMs', 0);
  entry.set('startBlock', -1);
  entry.set('blocksWanted', count);
  entry.set('blocksLeft', count);
  entry.set('activity', Activity.starting);
}

function makeSeat(ring: Ring, fd: number, entry: ConsumerEntry): Seat {
  let startBlock: number | null = null;
  return {
    entry,
    get startBlock() {
      return startBlock ?? entry.get('startBlock');
    },
    leave() {
      if (startBlock !== null) return;
      startBlock = entry.get('startBlock');
      entry.set('state', ConsumerState.free);
      unlock(fd, LockByte.consumer + entry.index);
      ring.ringBell();
      // A detached consumer may be waiting for the last attached one to go.
      ring.wakeConsumers();
    },
  };
}
