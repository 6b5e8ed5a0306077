// Detection: samples of one signal in, a verdict with its evidence out. Pure: it has no clock and does nothing but compute, so the
// agent, the controller and a replay of recorded samples come to the same verdict. It runs on Node.js 18 too, in the agent.
//
// A verdict rests on two windows of time that end now. The fast one shows that it is so at this moment, the slow one that it is
// not a spike; both must breach. Recovery is asked for more than that (hysteresis), so that a host at the edge is not added and
// taken away again and again: a degraded service is healthy again when the slow window has fallen below half of the share
// that made it degraded, and the fast window does not breach.
//
// Silence is never health: a window of which too little was observed makes the verdict unknown.

/** One service-level objective: the configuration's ObjectiveConfig. A sample breaches when its value is above `below`. */
export interface Objective {
  /** The signal's name, for the evidence: "probe.milliseconds". */
  readonly signal: string;
  /** Finite. */
  readonly below: number;
  /** Above 0. There should be a sample in each quarter of it at least. */
  readonly fastSeconds: number;
  /** At least `fastSeconds`. */
  readonly slowSeconds: number;
  /** Of the samples of a window that breach, for it to breach. Above 0, up to 1. */
  readonly share: number;
}

export interface Sample {
  /** When it was taken: milliseconds by a clock that does not go back, the same as that of `verdict`. */
  readonly atMs: number;
  /** null: it could not be measured. Neither is NaN nor an infinite value a measurement. */
  readonly value: number | null;
}

export type Verdict = 'healthy' | 'degraded' | 'unknown';

/** A type, not an interface, so that it passes as a record of numbers and texts. */
export type WindowValues = {
  readonly window: 'fast' | 'slow';
  readonly seconds: number;
  /** Measured values in the window. */
  readonly samples: number;
  readonly breaching: number;
  /** 0 to 1; null without samples. */
  readonly share: number | null;
  /** Share from which on the window breaches. */
  readonly shareMax: number;
  /** By nearest rank; null without samples. */
  readonly median: number | null;
  readonly p95: number | null;
  /** The objective's `below`. */
  readonly threshold: number;
  /** Share of the window's time that was observed, 0 to 1. */
  readonly coverage: number;
};

export interface Evidence {
  /** One line for people: "probe.milliseconds above 400 in 9 of 10 samples of the last 10 s (median 812, 95th percentile 1290)". */
  readonly text: string;
  readonly values: WindowValues;
}

export interface Finding {
  readonly verdict: Verdict;
  /** Why, in one line for people. */
  readonly reason: string;
  /** Of the samples of the fast window, then of the slow one, that breach; 0 without samples. */
  readonly shares: readonly [number, number];
  /** Of the fast window, then of the slow one. Made when it is asked for: most verdicts are those of the second before. */
  readonly evidence: readonly [Evidence, Evidence];
}

export interface Detector {
  /**
   * Takes a sample, at any time and in any order. Of several with the same millisecond the highest value counts. Ignored are
   * samples without a value, and those that come more than `slowSeconds` late.
   */
  add(sample: Sample): void;
  /**
   * The verdict at a time, on the samples taken up to then. It depends on the samples only, not on the calls: adding samples one by
   * one or together, asking often or seldom gives the same, as long as no sample is late beyond the above and fewer than
   * SAMPLES_MAX are taken between two calls. Samples later than `nowMs` are not looked at yet; those later by more than
   * `slowSeconds` are forgotten.
   * @param nowMs finite, not before that of an earlier call
   */
  verdict(nowMs: number): Finding;
}
