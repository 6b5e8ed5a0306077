// What is found of one signal: by its objective, by what is usual for it, or by both.
import { Baseline, type BaselineMemory } from '../baseline/mod.ts';
import { percent, shown } from '../evidence.ts';
import type { Condition, Fact, ObjectiveJudge, SignalPolicy } from './contract.ts';
import { LiveObjective, RecordedObjective } from './objective-judge.ts';

/** Windows of samples that are farther apart than a second hold so many. */
const FAST_INTERVALS = 6;
const SLOW_INTERVALS = 24;
const FAST_SECONDS = 10;
const SLOW_SECONDS = 60;
/** An objective that all samples break, by so much, is a failure. */
const FAILING = 2;

/** The first that some signal has is that of the whole. */
export const worst: readonly Condition[] = ['failing', 'degraded', 'unknown', 'healthy'];

export interface Windows {
  readonly fastSeconds: number;
  readonly slowSeconds: number;
}

/** @param intervalSeconds usual time between two samples */
export function windowsOf(
  objective: Partial<NonNullable<SignalPolicy['objective']>> | null,
  intervalSeconds: number,
): Windows {
  const fastSeconds = objective?.fastSeconds ?? Math.max(FAST_SECONDS, FAST_INTERVALS * intervalSeconds);
  const slowSeconds = objective?.slowSeconds ?? Math.max(SLOW_SECONDS, SLOW_INTERVALS * intervalSeconds);
  return { fastSeconds, slowSeconds: Math.max(fastSeconds, slowSeconds) };
}

export class SignalJudge {
  readonly policy: SignalPolicy;
  readonly windows: Windows;
  readonly #objective: ObjectiveJudge | null;
  readonly #baseline: Baseline | null;
  #condition: Condition = 'unknown';
  #silent = false;

  /** @param samples 'live': in any order, 'recorded': in their order @param intervalSeconds usual time between two samples */
  constructor(policy: SignalPolicy, intervalSeconds: number, samples: 'live' | 'recorded') {
    const { name, objective, baseline } = policy;
    this.policy = policy;
    this.windows = windowsOf(objective, intervalSeconds);
    const Kind = samples === 'live' ? LiveObjective : RecordedObjective;
    this.#objective = objective === null ? null : new Kind({ ...objective, ...this.windows, signal: name });
    this.#baseline = baseline === null ? null : new Baseline(baseline);
  }

  /** What its baseline has learned; null: nothing, or it has none. */
  get memory(): BaselineMemory | null {
    return this.#baseline?.memory ?? null;
  }

  /** Goes on where another one was that had the same policy. To be called before the first sample. */
  restore(memory: BaselineMemory): void {
    this.#baseline?.restore(memory);
  }

  /** Values that are none are silence. */
  add(atMs: number, value: number | null): void {
    const sample = { atMs, value };
    this.#objective?.add(sample);
    this.#baseline?.add(sample);
  }

  /** @param nowMs not before that of an earlier call */
  conditionAt(nowMs: number): Condition {
    this.#silent = nowMs > this.silentFromMs;
    const objective = this.#ofObjective(nowMs);
    const baseline = this.#ofBaseline(nowMs);
    this.#condition = worst.indexOf(objective) < worst.indexOf(baseline) ? objective : baseline;
    return this.#condition;
  }

  /** At the last `conditionAt`. */
  get condition(): Condition {
    return this.#condition;
  }

  /** 1 and more breaks the policy. */
  get score(): number {
    return Math.max(this.#objective?.score ?? 0, this.#baseline?.values.score ?? 0);
  }

  /** Silence from here on is no health. */
  get silentFromMs(): number {
    return Math.min(this.#objective?.silentFromMs ?? Infinity, this.#baseline?.silentFromMs ?? Infinity);
  }

  /** It asks for another host: not by a spike, nor by falling where nobody said that this is what matters. At the last `conditionAt`. */
  get lacksCapacity(): boolean {
    if (this.policy.outside || !isBroken(this.#condition)) return false;
    // One whose fast window has recovered is degraded still, and is recovering.
    if (this.#objective !== null && this.#objective.score >= 1) return true;
    const values = this.#baseline?.values;
    if (values === undefined || !isBroken(this.#baseline?.state ?? 'healthy')) return false;
    return values.kind === 'shift' && (values.value > values.expected || this.policy.baseline?.direction === 'below');
  }

  facts(): readonly Fact[] {
    if (this.#silent) return [{ text: `no sample of ${this.policy.name} for too long`, values: {} }];
    const facts = [...(this.#objective?.facts() ?? [])];
    if (this.#baseline !== null) facts.push(baselineFact(this.policy.name, this.#baseline));
    return facts;
  }

  #ofObjective(nowMs: number): Condition {
    if (this.#objective === null) return 'healthy';
    const verdict = this.#objective.verdictAt(nowMs);
    return verdict === 'degraded' && this.#objective.failsBy(FAILING) ? 'failing' : verdict;
  }

  #ofBaseline(nowMs: number): Condition {
    if (this.#baseline === null) return 'healthy';
    const { state } = this.#baseline;
    return state === 'learning' || nowMs > this.#baseline.silentFromMs ? 'unknown' : state;
  }
}

export function isBroken(condition: Condition | 'learning'): boolean {
  return condition === 'degraded' || condition === 'failing';
}

function baselineFact(name: string, baseline: Baseline): Fact {
  if (baseline.toLearn > 0) {
    const text = `what is usual for ${name} is not known yet: ${baseline.toLearn} samples to go`;
    return { text, values: { toLearn: baseline.toLearn } };
  }
  const { value, expected, runSamples, score, kind, rhythm } = baseline.values;
  const usual = `${shown(expected)} is usual${rhythm === 'none' ? '' : ` by the ${rhythm} rhythm`}`;
  const what = kind === 'none' ? 'a deviation' : `a ${kind}`;
  const over = runSamples === 1 ? 'one sample' : `about ${runSamples} samples`;
  const text = `${name} is ${shown(value)} where ${usual}: ${what} over ${over}, ${percent(score)} of what would be remarkable`;
  return { text, values: baseline.values };
}
