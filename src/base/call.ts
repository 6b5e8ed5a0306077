// What every call to a driver carries, and the gate that refuses calls of an owner who has been replaced.
import { UnderstudyError } from './errors.ts';

/** Passed with every driver call that changes something or takes time. */
export interface Call {
  /**
   * Fencing token of the controller that calls: 1 and up, raised each time a controller takes over. A driver asks its
   * EpochGate before it changes anything.
   */
  readonly epoch: number;
  /** Ends the call; it then rejects with INTERRUPTED, and the state of the world has to be read back. */
  readonly signal: AbortSignal;
}

/**
 * Remembers, durably and per thing ("power/web1"), the highest epoch that has acted on it. A lease alone is not enough: its
 * holder can be paused, replaced, and wake up believing that it still holds it.
 */
export interface EpochGate {
  /** @throws EPOCH_STALE when a higher epoch has been admitted for this thing. */
  admit(thing: string, epoch: number): Promise<void>;
}

/** For tests and for tools without a store: remembers within this process. */
export function memoryEpochGate(): EpochGate {
  const highest = new Map<string, number>();
  return {
    async admit(thing, epoch) {
      const seen = highest.get(thing) ?? 0;
      if (epoch < seen) throw epochStale(thing, epoch, seen);
      highest.set(thing, epoch);
    },
  };
}

export function epochStale(thing: string, epoch: number, highest: number): UnderstudyError {
  return new UnderstudyError('EPOCH_STALE', `${thing}: epoch ${epoch} has been replaced by ${highest}`);
}
