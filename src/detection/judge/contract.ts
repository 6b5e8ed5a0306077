// What a policy says of a signal, and what is found of it. The agent judges its host by this, the controller what directors and
// Prometheus tell of one, and a replay what was recorded: the same samples come to the same condition everywhere.
import type { Direction } from '../baseline/mod.ts';
import type { Sample, Verdict } from '../contract.ts';

export interface SignalPolicy {
  /** What the evidence calls it: a signal of the agent, a column of a recording. */
  readonly name: string;
  /** Breaks when values above `below` fill a share of both windows. null: it has none. */
  readonly objective: {
    readonly below: number;
    /** null: 10 s, or six intervals of samples that are farther apart. */
    readonly fastSeconds: number | null;
    /** null: 60 s, or 24 intervals. */
    readonly slowSeconds: number | null;
    /** Above 0, up to 1. */
    readonly share: number;
  } | null;
  /** Deviates from what is usual for it. null: that does not matter. */
  readonly baseline: { readonly direction: Direction; readonly learnSamples: number } | null;
  /** It measures something outside of the hosts: while it is degraded another host would not help. */
  readonly outside: boolean;
}

/** By this memory is kept: what judges a signal in another way learns other things. */
export function wayOf({ name, baseline }: Pick<SignalPolicy, 'name' | 'baseline'>): string {
  return `${name} ${baseline?.direction ?? ''} ${baseline?.learnSamples ?? ''}`;
}

/** 'failing': far beyond degraded. 'unknown': silence is no health. */
export type Condition = 'healthy' | 'degraded' | 'failing' | 'unknown';

/** One line for people, and the same in numbers. */
export interface Fact {
  readonly text: string;
  readonly values: Readonly<Record<string, number | string | null>>;
}

export interface Judgement {
  readonly condition: Condition;
  /** 1 and more breaks the policy; 0 for unknown. */
  readonly score: number;
  /** What decided it. */
  readonly facts: readonly Fact[];
  /**
   * Another host would help: an objective is broken and not recovering, or a shift to more. Not so for spikes, for what has
   * recovered in the fast window, and for what only a signal from outside says. Always false unless degraded or failing.
   */
  readonly lacksCapacity: boolean;
  /** What says that the hosts are not to blame; null: nothing does. */
  readonly outside: Fact | null;
}

/** How an objective is judged: samples in any order for those that live, in their order for records. */
export interface ObjectiveJudge {
  add(sample: Sample): void;
  /** @param nowMs not before that of an earlier call */
  verdictAt(nowMs: number): Verdict;
  /** Silence from here on is no health. Infinity: `verdictAt` says so by itself. */
  readonly silentFromMs: number;
  /** At the last `verdictAt`: of both windows the smaller share of what breaks it; 1 and more does. */
  readonly score: number;
  /** At the last `verdictAt`: all of the slow window breaks it, and the middle of the fast one by so much. */
  failsBy(factor: number): boolean;
  facts(): readonly Fact[];
}
