// Room for backups: what is free, less what backups under way will still take.
import { formatBytes, UnderstudyError } from '../base/mod.ts';

/** File systems need some for themselves: blocks that say where blocks are. */
const OVERHEAD_SHARE = 1 / 256;
const OVERHEAD_BYTES = 1024 * 1024;

/** What a backup of so much data takes at most. */
export function neededFor(dataBytes: number): number {
  return Math.ceil(dataBytes * (1 + OVERHEAD_SHARE)) + OVERHEAD_BYTES;
}

interface Reservation {
  readonly neededBytes: number;
  doneBytes: number;
}

export interface Room {
  /** Tells how much of it has been written. */
  used(bytes: number): void;
  /** Gives back what was not used. Idempotent. */
  release(): void;
}

export class BackupSpace {
  readonly #reservations = new Set<Reservation>();

  /** Promises room for a backup. @throws STORAGE_SPACE with the numbers */
  take(what: string, dataBytes: number, freeBytes: number): Room {
    const neededBytes = neededFor(dataBytes);
    const promisedBytes = [...this.#reservations].reduce((sum, one) => sum + one.neededBytes - one.doneBytes, 0);
    if (neededBytes > freeBytes - promisedBytes) {
      const others = promisedBytes > 0 ? `, of which backups under way will take ${formatBytes(promisedBytes)}` : '';
      const text = `${what} needs ${formatBytes(neededBytes)}; ${formatBytes(freeBytes)} are free${others}`;
      throw new UnderstudyError('STORAGE_SPACE', text, { details: { neededBytes, freeBytes, promisedBytes } });
    }
    const reservation: Reservation = { neededBytes, doneBytes: 0 };
    this.#reservations.add(reservation);
    return {
      used(bytes) {
        reservation.doneBytes = Math.min(Math.max(0, bytes), neededBytes);
      },
      release: () => {
        this.#reservations.delete(reservation);
      },
    };
  }
}
