// The verdict on a service by all of its signals, and what of it policy has to know.
import type { PolicyEvidence, PolicyVerdict } from '../policy/mod.ts';
import type { ReplayVerdict, SignalPolicy } from './contract.ts';
import { SignalJudge, worst } from './signal-judge.ts';

export class ServiceJudge {
  readonly signals: readonly SignalJudge[];
  #silentFromMs = Number.POSITIVE_INFINITY;

  /** @param intervalSeconds usual time between two samples */
  constructor(policies: readonly SignalPolicy[], intervalSeconds: number) {
    this.signals = policies.map((policy) => new SignalJudge(policy, intervalSeconds));
  }

  /** Silence of some signal from here on is no health. */
  get silentFromMs(): number {
    return this.#silentFromMs;
  }

  get score(): number {
    return Math.max(...this.signals.map(({ score }) => score));
  }

  /** @param measured value of a signal, by its place among the signals; NaN: not measured */
  add(atMs: number, measured: (index: number) => number): void {
    this.#silentFromMs = Number.POSITIVE_INFINITY;
    for (let index = 0; index < this.signals.length; index += 1) {
      const signal = this.signals[index];
      signal?.add(atMs, measured(index));
      this.#silentFromMs = Math.min(this.#silentFromMs, signal?.silentFromMs ?? Number.POSITIVE_INFINITY);
    }
  }

  verdictAt(atMs: number): ReplayVerdict {
    let found = worst.length - 1;
    for (const signal of this.signals) {
      const verdict = atMs > signal.silentFromMs ? 'unknown' : signal.verdict;
      found = Math.min(found, worst.indexOf(verdict));
    }
    return worst[found] ?? 'unknown';
  }

  /** What another host would not mend is nothing that policy has to know. */
  forPolicy(verdict: ReplayVerdict): PolicyVerdict {
    if (verdict !== 'degraded' && verdict !== 'failing') return verdict;
    return this.signals.some(({ wantsCapacity }) => wantsCapacity) ? 'degraded' : 'unknown';
  }

  /** What says that the hosts are not to blame; null: nothing. */
  get outside(): PolicyEvidence | null {
    const guilty = this.signals.find(
      ({ policy, verdict }) => policy.outside && ['degraded', 'failing'].includes(verdict),
    );
    return guilty === undefined ? null : { host: null, text: guilty.evidence()[0] ?? '', values: {} };
  }

  evidence(verdict: ReplayVerdict, atMs: number): readonly string[] {
    const deciding = this.signals.filter((signal) => signal.verdict === verdict && atMs < signal.silentFromMs);
    if (deciding.length > 0) return deciding.flatMap((signal) => signal.evidence());
    const silent = this.signals.filter(({ silentFromMs }) => atMs >= silentFromMs).map(({ policy }) => policy.name);
    return [`no sample of ${silent.join(' and ')} for too long`];
  }
}
