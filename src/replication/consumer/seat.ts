// A row of the ring's consumer table, held by the lock on its byte.
import { limits, UnderstudyError } from '../../base/mod.ts';
import { futexWait, tryLock, unlock } from '../../linux/mod.ts';
import {
  AccessKind,
  Activity,
  type ConsumerEntry,
  ConsumerState,
  LockByte,
  type NeedSet,
  type Ring,
} from '../ring/mod.ts';

export interface Seat {
  readonly entry: ConsumerEntry;
  /** Block that was taken first; -1 while none was. Readable after leaving. */
  readonly startBlock: number;
  /** Gives the row back. Idempotent. */
  leave(): void;
}

interface SeatWishes {
  readonly name: string;
  readonly pace: boolean;
  readonly needs: NeedSet;
}

/**
 * Takes a row, waiting for one as long as all are taken. `whileQueued` is called before each wait, and ends the waiting by throwing.
 * @throws RING_CONSUMERS_MAX when the source can be read once only, so that waiting would be in vain
 */
export function awaitSeat(ring: Ring, fd: number, wishes: SeatWishes, whileQueued: () => void): Seat {
  for (;;) {
    const seat = takeSeat(ring, fd, wishes);
    if (seat !== null) return seat;
    if (ring.get('access') === AccessKind.once) {
      throw new UnderstudyError(
        'RING_CONSUMERS_MAX',
        `the source can be read only once, and its copy already has ${limits.CONSUMERS_MAX} targets`,
      );
    }
    whileQueued();
    // Nobody wakes that word: rows become free a few times an hour.
    futexWait(ring.words, 0, ring.get('magic0'), limits.WAIT_MS_MAX);
  }
}

/**
 * Takes a free row and fills in the need-set; taking part starts with ConsumerCore.attach. The lock comes before the state:
 * a row whose state says it is taken and whose lock is free belongs to a dead consumer, and only the producer frees it.
 * Null when there is none.
 */
function takeSeat(ring: Ring, fd: number, options: SeatWishes): Seat | null {
  for (const entry of ring.entries) {
    if (entry.get('state') !== ConsumerState.free || !tryLock(fd, LockByte.consumer + entry.index)) continue;
    if (entry.get('state') !== ConsumerState.free) {
      unlock(fd, LockByte.consumer + entry.index);
      continue;
    }
    fillRow(ring, entry, options);
    return makeSeat(ring, fd, entry);
  }
  return null;
}

function fillRow(ring: Ring, entry: ConsumerEntry, options: SeatWishes): void {
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
