// Who has a lease: pure decisions over its row, which a backend makes in one transaction.
//
// Time. Two processes that both believe in a lease is the accident that must not happen, and wall clocks invite it: one
// that steps forward ends every lease at once, one that steps back keeps a dead holder's lease for hours. All processes
// that can open one store run on one machine (SQLite's write-ahead log needs shared memory), so leases are timed by
// that machine's own CLOCK_MONOTONIC, which is the same for all its processes, never steps, and stands still while the
// machine is suspended, as do the holders. It begins anew with the kernel; so a row also says in which boot it was
// written, and one of another boot has expired: its holder ended with its machine.
//
// Even a clock that steps would not make two holders. A row alone says who has the lease, and only its last epoch can
// renew; a step back makes a lease last longer, a step forward makes it expire early, and then whoever takes it raises
// the epoch, so that the earlier holder's `renew` fails and its calls are refused by every EpochGate.

import { LEASE_TTL_MS_MAX } from './record-rules.ts';

/** Time that can be compared between all processes that open one store, as long as they are of one era. */
export interface LeaseClock {
  /** Milliseconds since the era began, never going back. */
  nowMs(): number;
  /** Leases of other eras have expired: no holder of then is alive. */
  readonly era: string;
}

export interface LeaseRow {
  /** Of the last acquisition; kept for ever, so that none is used twice. */
  readonly epoch: number;
  /** null: released. */
  readonly holder: string | null;
  readonly era: string;
  readonly expiresMs: number;
}

/** Decides on a row and gives the one to be written instead, or null to leave it as it is. */
export type LeaseDecision = (row: LeaseRow | null) => LeaseRow | null;

/** A time further away than any lease lasts was not written by us, and nobody would ever end it. */
function isHeld(row: LeaseRow, clock: LeaseClock): boolean {
  const leftMs = row.expiresMs - clock.nowMs();
  return row.holder !== null && row.era === clock.era && leftMs > 0 && leftMs <= LEASE_TTL_MS_MAX;
}

/** null: somebody else has it. */
export function acquire(holder: string, ttlMs: number, clock: LeaseClock, above = 0): LeaseDecision {
  return (row) => {
    const held = row !== null && isHeld(row, clock);
    if (held && row.holder !== holder) return null;
    const epoch = held && row.epoch > above ? row.epoch : Math.max(row?.epoch ?? 0, above) + 1;
    return { epoch, holder, era: clock.era, expiresMs: clock.nowMs() + ttlMs };
  };
}

/** null: lost. The epoch alone tells: one epoch has one holder. */
export function renew(epoch: number, ttlMs: number, clock: LeaseClock): LeaseDecision {
  return (row) => {
    if (row === null || row.epoch !== epoch || !isHeld(row, clock)) return null;
    return { ...row, expiresMs: clock.nowMs() + ttlMs };
  };
}

/** null: there is nothing to give up any more. */
export function release(epoch: number): LeaseDecision {
  return (row) => (row === null || row.epoch !== epoch || row.holder === null ? null : { ...row, holder: null });
}
