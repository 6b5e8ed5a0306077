// Who holds up the others, and for how long. An account per consumer: it grows by the time in which the consumer kept the
// ring full while somebody else had nothing to do, and shrinks otherwise. A consumer whose account is overdrawn is detached.
//
// Time, not distance: a target at a tenth of the others' speed moves several times a second, so it never stands still for
// long, and yet costs everybody nine tenths of their speed.
import { type Clock, limits } from '../../base/mod.ts';
import { type ConsumerEntry, ConsumerState, type Ring } from '../ring/mod.ts';

export class SlowAccounts {
  readonly #ring: Ring;
  readonly #clock: Clock;
  readonly #heldMs = new Map<number, number>();
  readonly #detachments = new Map<number, number>();
  #lastMs: number;

  constructor(ring: Ring, clock: Clock) {
    this.#ring = ring;
    this.#clock = clock;
    this.#lastMs = clock.nowMs();
  }

  /** The ring is full because of `holders`: charges them, detaches those who have overdrawn, and tells whether it did. */
  hold(holders: readonly ConsumerEntry[]): boolean {
    const elapsedMs = this.#elapsed();
    let detached = false;
    if (!this.#someoneStarves(holders)) {
      this.#shrinkAll(elapsedMs);
      return false;
    }
    for (const entry of holders) {
      if (entry.get('pace') === 1) continue;
      this.#forgiveReturned(entry);
      const heldMs = (this.#heldMs.get(entry.index) ?? 0) + elapsedMs;
      this.#heldMs.set(entry.index, heldMs);
      if (heldMs < limits.SLOW_BUDGET_MS) continue;
      // Only attached -> detached: its consumer may be leaving at this very moment.
      if (entry.moveState(ConsumerState.attached, ConsumerState.detached)) {
        entry.set('detachments', entry.get('detachments') + 1);
        this.#detachments.set(entry.index, entry.get('detachments'));
        // On its return it starts on probation.
        this.#heldMs.set(entry.index, limits.SLOW_BUDGET_MS / 2);
        detached = true;
      }
    }
    return detached;
  }

  /** Nobody is held up. */
  recover(): void {
    this.#shrinkAll(this.#elapsed());
  }

  #elapsed(): number {
    const now = this.#clock.nowMs();
    const elapsedMs = now - this.#lastMs;
    this.#lastMs = now;
    return elapsedMs;
  }

  #shrinkAll(elapsedMs: number): void {
    for (const [index, heldMs] of this.#heldMs) {
      this.#heldMs.set(index, Math.max(0, heldMs - elapsedMs * limits.SLOW_RECOVERY));
    }
  }

  /** Detaching helps only when another attached consumer has taken everything that there is. */
  #someoneStarves(holders: readonly ConsumerEntry[]): boolean {
    const head = this.#ring.get('head');
    return this.#ring.entries.some(
      (entry) => entry.attached && !holders.includes(entry) && entry.get('cursor') === head,
    );
  }

  /** An entry that was freed and taken by another process has no debts. */
  #forgiveReturned(entry: ConsumerEntry): void {
    const known = this.#detachments.get(entry.index) ?? 0;
    if (entry.get('detachments') >= known) return;
    this.#detachments.delete(entry.index);
    this.#heldMs.delete(entry.index);
  }
}
