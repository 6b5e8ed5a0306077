// A policy for recorded samples, and what would have happened with it.
import type { Condition, SignalPolicy } from '../detection/mod.ts';

export interface Policy {
  /** At least one. */
  readonly signals: readonly SignalPolicy[];
  /** Hosts in any state, the lead included. */
  readonly hostsMax: number;
  /** From the decision until a host takes traffic. */
  readonly secondsToCapacity: number;
  readonly scaleOut: { readonly cooldownSeconds: number; readonly atOnce: number };
  readonly scaleIn: {
    /** null: 300 s, or 12 intervals. */
    readonly windowSeconds: number | null;
    readonly headroom: number;
    readonly cooldownSeconds: number;
  };
  /** Column that grows with the load. null: the first signal that is not outside. */
  readonly load: string | null;
}

export type ReplayVerdict = Condition;

/** The verdict became another one. */
export interface ReplayEvent {
  /** ISO 8601. */
  readonly at: string;
  readonly verdict: ReplayVerdict;
  /** 1 and more breaks the policy; 0 for unknown. */
  readonly score: number;
  /** One line for each signal that decided it. */
  readonly evidence: readonly string[];
}

export interface ReplayScaling {
  readonly at: string;
  readonly action: 'scale-out' | 'scale-in';
  /** That serve or are on their way, after it. */
  readonly hosts: number;
  readonly reason: string;
}

export interface LabelWindow {
  readonly fromMs: number;
  readonly toMs: number;
}

export interface LabelScore {
  /** Labels in whose time the verdict was degraded or failing at some moment. */
  readonly found: number;
  readonly missed: number;
  /** Times at which it became degraded or failing outside of all labels. */
  readonly false: number;
  /** From the start of a label to the first moment; null: none was found. */
  readonly medianDelaySeconds: number | null;
}

export interface Replay {
  readonly events: readonly ReplayEvent[];
  readonly scaling: readonly ReplayScaling[];
  readonly labels: LabelScore | null;
}

/** Columns of numbers at times, in the order of the file. */
export interface Recording {
  readonly timesMs: Float64Array;
  /** By name; NaN where nothing was measured. */
  readonly columns: ReadonlyMap<string, Float64Array>;
}
