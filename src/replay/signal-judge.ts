// The verdict on one signal of a recording.
import { Baseline, percent, StreamDetector, shown } from '../detection/mod.ts';
import type { ReplayVerdict, SignalPolicy } from './contract.ts';

/** Windows of samples that are farther apart than a second hold so many. */
const FAST_INTERVALS = 6;
const SLOW_INTERVALS = 24;
const FAST_SECONDS = 10;
const SLOW_SECONDS = 60;
/** An objective that all samples break, by so much at least, is a failure. */
const FAILING = 2;

export const worst: readonly ReplayVerdict[] = ['failing', 'degraded', 'unknown', 'healthy'];

export class SignalJudge {
  readonly policy: SignalPolicy;
  readonly #below: number;
  readonly #objective: StreamDetector | null;
  readonly #baseline: Baseline | null;
  readonly fastSeconds: number;
  readonly slowSeconds: number;

  /** @param intervalSeconds usual time between two samples */
  constructor(policy: SignalPolicy, intervalSeconds: number) {
    const { name, objective, baseline } = policy;
    this.policy = policy;
    this.#below = objective?.below ?? 0;
    this.fastSeconds = objective?.fastSeconds ?? Math.max(FAST_SECONDS, FAST_INTERVALS * intervalSeconds);
    const slowSeconds = objective?.slowSeconds ?? Math.max(SLOW_SECONDS, SLOW_INTERVALS * intervalSeconds);
    this.slowSeconds = Math.max(this.fastSeconds, slowSeconds);
    const { fastSeconds } = this;
    this.#objective =
      objective === null
        ? null
        : new StreamDetector({
            signal: name,
            below: objective.below,
            fastSeconds,
            slowSeconds: this.slowSeconds,
            share: objective.share,
          });
    this.#baseline = baseline === null ? null : new Baseline(baseline);
  }

  add(atMs: number, value: number): void {
    const sample = { atMs, value };
    this.#objective?.add(sample);
    this.#baseline?.add(sample);
  }

  /** At the last sample. */
  get verdict(): ReplayVerdict {
    const verdicts = [this.#ofObjective(), this.#ofBaseline()];
    return worst.find((verdict) => verdicts.includes(verdict)) ?? 'unknown';
  }

  /** 1 and more breaks the policy. */
  get score(): number {
    return Math.max(this.#objective?.score || 0, this.#baseline?.values.score ?? 0);
  }

  /** Silence from here on is no health. */
  get silentFromMs(): number {
    return Math.min(this.#objective?.silentFromMs ?? Infinity, this.#baseline?.silentFromMs ?? Infinity);
  }

  /** It asks for another host: not by a spike, nor by falling where nobody said that this is what matters. */
  get wantsCapacity(): boolean {
    if (this.policy.outside) return false;
    // One whose fast window has recovered is degraded still, and is recovering.
    if (this.#objective?.verdict === 'degraded' && this.#objective.score >= 1) return true;
    const values = this.#baseline?.values;
    if (values === undefined || !['degraded', 'failing'].includes(this.#baseline?.state ?? '')) return false;
    return values.kind === 'shift' && (values.value > values.expected || this.policy.baseline?.direction === 'below');
  }

  evidence(): readonly string[] {
    const lines: string[] = [];
    const { name } = this.policy;
    if (this.#objective !== null) {
      const [fast, slow] = [this.#objective.counts('fast'), this.#objective.counts('slow')];
      lines.push(
        `${name} above ${shown(this.#below)} in ${fast.breaching} of ${fast.samples} samples of the last ${this.fastSeconds} s and in ` +
          `${slow.breaching} of ${slow.samples} of the last ${this.slowSeconds} s`,
      );
    }
    if (this.#baseline !== null) lines.push(baselineText(name, this.#baseline));
    return lines;
  }

  #ofObjective(): ReplayVerdict {
    if (this.#objective === null) return 'healthy';
    const { verdict } = this.#objective;
    if (verdict !== 'degraded') return verdict;
    const slow = this.#objective.counts('slow');
    const lowest = this.#objective.recent[0] ?? 0;
    const fails = slow.breaching === slow.samples && this.#below > 0 && lowest >= FAILING * this.#below;
    return fails ? 'failing' : 'degraded';
  }

  #ofBaseline(): ReplayVerdict {
    const state = this.#baseline?.state ?? 'healthy';
    return state === 'learning' ? 'unknown' : state;
  }
}

function baselineText(name: string, baseline: Baseline): string {
  if (baseline.toLearn > 0) return `what is usual for ${name} is not known yet: ${baseline.toLearn} samples to go`;
  const { value, expected, runSamples, score, kind, rhythm } = baseline.values;
  const usual = `${shown(expected)} is usual${rhythm === 'none' ? '' : ` by the ${rhythm} rhythm`}`;
  const what = kind === 'none' ? 'a deviation' : `a ${kind}`;
  const over = runSamples === 1 ? 'one sample' : `about ${runSamples} samples`;
  return `${name} is ${shown(value)} where ${usual}: ${what} over ${over}, ${percent(score)} of what would be remarkable`;
}
