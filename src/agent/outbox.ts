// Changes of the verdict that the controller has not confirmed yet: in order, numbered, bounded. Seed row P16.
import { assert } from '../base/mod.ts';
import { type AgentEvidence, type AgentVerdict, CHANGES_MAX, type VerdictChange } from './protocol.ts';

/** What one report gives to changes; the rest of it is short. */
const CHANGES_BYTES_MAX = 192 * 1024;

interface Waiting {
  readonly number: number;
  readonly atMs: number;
  readonly verdict: AgentVerdict;
  readonly evidence: readonly AgentEvidence[];
}

export class Outbox {
  #waiting: Waiting[] = [];
  #lastNumber = 0;
  #dropped = 0;

  get isEmpty(): boolean {
    return this.#waiting.length === 0;
  }

  /** Changes that were given up since the start. */
  get dropped(): number {
    return this.#dropped;
  }

  /** @param atMs by the monotonic clock */
  add(atMs: number, verdict: AgentVerdict, evidence: readonly AgentEvidence[]): void {
    this.#lastNumber += 1;
    this.#waiting.push({ number: this.#lastNumber, atMs, verdict, evidence });
    if (this.#waiting.length <= CHANGES_MAX) return;
    this.#waiting.shift();
    this.#dropped += 1;
  }

  /**
   * The oldest changes, as many as fit into a report.
   * @param nowMs by the monotonic clock
   * @param wallMs milliseconds since 1970 by the host's clock, at the same moment
   */
  oldest(nowMs: number, wallMs: number): readonly VerdictChange[] {
    const changes: VerdictChange[] = [];
    let bytes = 0;
    for (const { number, atMs, verdict, evidence } of this.#waiting) {
      const ageMs = Math.max(0, Math.round(nowMs - atMs));
      const change = { number, at: new Date(wallMs - ageMs).toISOString(), ageMs, verdict, evidence };
      bytes += Buffer.byteLength(JSON.stringify(change)) + 1;
      if (bytes > CHANGES_BYTES_MAX && changes.length > 0) break;
      changes.push(change);
    }
    return changes;
  }

  /** The controller has these changes. */
  confirm(changes: readonly VerdictChange[]): void {
    this.#remove(changes);
  }

  /** The controller will never take these changes. */
  giveUp(changes: readonly VerdictChange[]): void {
    this.#dropped += this.#remove(changes);
  }

  /** Some may have been dropped between the sending and the answer. */
  #remove(changes: readonly VerdictChange[]): number {
    const before = this.#waiting.length;
    const last = changes.at(-1)?.number ?? 0;
    assert(last <= this.#lastNumber, 'only what was sent is confirmed');
    this.#waiting = this.#waiting.filter(({ number }) => number > last);
    return before - this.#waiting.length;
  }
}
