// What is found of a host, or of a service, by all of its signals: the worst that one of them says.
import type { Condition, Fact, Judgement, SignalPolicy } from './contract.ts';
import { isBroken, SignalJudge, worst } from './signal-judge.ts';

const SCORE_DIGITS = 4;

export class Judge {
  readonly signals: readonly SignalJudge[];
  #silentFromMs = Number.POSITIVE_INFINITY;
  #condition: Condition = 'unknown';

  /**
   * @param intervalSeconds usual time between two samples of a signal
   * @param samples 'live': in any order, 'recorded': in their order
   */
  constructor(
    policies: readonly SignalPolicy[],
    intervalSeconds: number | ((policy: SignalPolicy) => number),
    samples: 'live' | 'recorded',
  ) {
    this.signals = policies.map((policy) => {
      const interval = typeof intervalSeconds === 'number' ? intervalSeconds : intervalSeconds(policy);
      return new SignalJudge(policy, interval, samples);
    });
  }

  /** Of what was recorded: silence of some signal from here on is no health. */
  get silentFromMs(): number {
    return this.#silentFromMs;
  }

  /** 1 and more breaks the policy. */
  get score(): number {
    return Number(Math.max(0, ...this.signals.map(({ score }) => score)).toPrecision(SCORE_DIGITS));
  }

  /** One moment of all signals. @param measured value of a signal, by its place among the signals; NaN: not measured */
  add(atMs: number, measured: (index: number) => number): void {
    this.#silentFromMs = Number.POSITIVE_INFINITY;
    for (let index = 0; index < this.signals.length; index += 1) {
      const signal = this.signals[index];
      signal?.add(atMs, measured(index));
      this.#silentFromMs = Math.min(this.#silentFromMs, signal?.silentFromMs ?? Number.POSITIVE_INFINITY);
    }
  }

  /** @param nowMs not before that of an earlier call */
  conditionAt(nowMs: number): Condition {
    let found = worst.length - 1;
    for (const signal of this.signals) found = Math.min(found, worst.indexOf(signal.conditionAt(nowMs)));
    this.#condition = this.signals.length === 0 ? 'unknown' : (worst[found] ?? 'unknown');
    return this.#condition;
  }

  /** At the last `conditionAt`. */
  get lacksCapacity(): boolean {
    return isBroken(this.#condition) && this.signals.some(({ lacksCapacity }) => lacksCapacity);
  }

  /** At the last `conditionAt`: something says that the hosts are not to blame. */
  get isOutside(): boolean {
    return this.#guilty !== undefined;
  }

  /** At the last `conditionAt`: what says so. */
  get outside(): Fact | null {
    return this.#guilty?.facts().at(-1) ?? null;
  }

  get #guilty(): SignalJudge | undefined {
    return this.signals.find(({ policy, condition }) => policy.outside && isBroken(condition));
  }

  /** What decided the last `conditionAt`. */
  facts(): readonly Fact[] {
    return this.signals.filter(({ condition }) => condition === this.#condition).flatMap((signal) => signal.facts());
  }

  /** All of it at once. @param nowMs not before that of an earlier call */
  at(nowMs: number): Judgement {
    const condition = this.conditionAt(nowMs);
    const score = condition === 'unknown' ? 0 : this.score;
    return { condition, score, facts: this.facts(), lacksCapacity: this.lacksCapacity, outside: this.outside };
  }
}
