// What people are told about the link to the controller: when it is lost, why, and when it is back; not each failed
// try.
import type { Clock } from '../base/mod.ts';
import type { Report } from './protocol.ts';
import type { Delivery } from './reporter.ts';

/** A trouble that lasts is mentioned again after so long. */
const REMIND_AFTER_MS = 600_000;

const AGAIN = 'it is asked again and again';
const TOKEN =
  'this agent needs the token that is in agentTokenFile of its host in understudy.yaml, or a certificate of its host';
/** What people can do about a refusal, by its HTTP status. */
const REMEDY = {
  401: TOKEN,
  403: TOKEN,
  404: 'this agent has to be called as its host is in understudy.yaml',
} as const;

export class LinkAccount {
  readonly #clock: Clock;
  readonly #say: (line: string) => void;
  #trouble: { readonly reason: string; readonly sinceMs: number; saidMs: number } | null = null;
  #isUp = false;

  constructor(clock: Clock, say: (line: string) => void) {
    this.#clock = clock;
    this.#say = say;
  }

  /** The last report was delivered. */
  get isUp(): boolean {
    return this.#isUp;
  }

  heard(report: Report, delivery: Delivery): void {
    const nowMs = this.#clock.nowMs();
    if (delivery.kind === 'delivered') this.#delivered(report, nowMs);
    else this.#failed(delivery, nowMs);
  }

  #delivered(report: Report, nowMs: number): void {
    if (this.#trouble !== null) {
      const seconds = Math.round((nowMs - this.#trouble.sinceMs) / 1000);
      this.#say(`the controller answers again, after ${seconds} s; changes that had waited: ${report.changes.length}`);
    } else if (!this.#isUp) this.#say('the controller answers');
    this.#trouble = null;
    this.#isUp = true;
  }

  #failed(delivery: Exclude<Delivery, { kind: 'delivered' }>, nowMs: number): void {
    this.#isUp = false;
    const before = this.#trouble;
    if (before?.reason === delivery.reason && nowMs - before.saidMs < REMIND_AFTER_MS) return;
    this.#trouble = { reason: delivery.reason, sinceMs: before?.sinceMs ?? nowMs, saidMs: nowMs };
    const next = delivery.kind === 'refused' ? `${REMEDY[delivery.status]}; it is asked again once a minute` : AGAIN;
    this.#say(`no report gets through to the controller: ${delivery.reason}; ${next}`);
  }
}
