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
  /** Whom the time since the last look is charged to: they kept the ring full then, while somebody starved. */
  #charged: readonly ConsumerEntry[] = [];
  #lastMs: number;

  constructor(ring: Ring, clock: Clock) {
    this.#ring = ring;
    this.#clock = clock;
    this.#lastMs = clock.nowMs();
  }

  /** The ring is full because of `holders`: detaches those who have overdrawn, and tells whether it did. */
  hold(holders: readonly ConsumerEntry[]): boolean {
    this.#settle();
    // Where one of them may not be detached the ring stays full whatever happens to the others.
    const detachable = holders.every((entry) => entry.get('pace') === 0);
    this.#charged = detachable && this.#someoneStarves(holders) ? holders : [];
    let detached = false;
    for (const entry of this.#charged) {
      if ((this.#heldMs.get(entry.index) ?? 0) < limits.SLOW_BUDGET_MS) continue;
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

  /** Nobody is held up from now on. */
  recover(): void {
    this.#settle();
    this.#charged = [];
  }

  /** Books the time since the last look; what ends a wait, be it the holder's own move, does not change whose it was. */
  #settle(): void {
    const elapsedMs = this.#elapsed();
    if (this.#charged.length === 0) this.#shrinkAll(elapsedMs);
    for (const entry of this.#charged) {
      this.#forgiveReturned(entry);
      this.#heldMs.set(entry.index, (this.#heldMs.get(entry.index) ?? 0) + elapsedMs);
      entry.set('heldUpMs', entry.get('heldUpMs') + Math.round(elapsedMs));
    }
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
      (entry) =>
        entry.attached &&
        !holders.includes(entry) &&
        entry.get('cursor') === head &&
        // One that has everything is about to leave, and waits for nothing.
        this.#ring.needSet(entry.index).next(0) !== -1,
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
