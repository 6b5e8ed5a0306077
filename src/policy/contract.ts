// What policy is told, and what it answers. The controller, a replay of recorded samples and a simulation tell it the
// same things, and so get the same answers.

export type PolicyVerdict = 'healthy' | 'degraded' | 'failing' | 'unknown';

export interface PolicyEvidence {
  /** null: about the service as a whole. */
  readonly host: string | null;
  /** One line for people. */
  readonly text: string;
  /** The same in numbers, for programs. */
  readonly values: Readonly<Record<string, number | string | null>>;
}

export interface PolicyService {
  readonly name: string;
  /** The lead and every understudy in any state, failed ones too, are never more. */
  readonly hostsMax: number;
  /** Windows of the verdicts. */
  readonly windows: { readonly fastSeconds: number; readonly slowSeconds: number };
  readonly scaleOut: {
    /** After any change of the number of hosts nothing is added for so long, nor before the slow window has seen it. */
    readonly cooldownSeconds: number;
    /**
     * Hosts that may be on their way at the same time; more than the first as far as more requests come than the others
     * carry. 1 and up.
     */
    readonly atOnce: number;
  };
  readonly scaleIn: {
    /** Every host must have been healthy for so long, without a gap. */
    readonly windowSeconds: number;
    /** Load that one host less may have, as a share of what was carried when the objective broke. Above 0, below 1. */
    readonly headroom: number;
    /** After any change of the number of hosts nothing is taken away for so long. */
    readonly cooldownSeconds: number;
  };
}

export interface PolicyEngagement {
  readonly name: string;
  readonly understudy: string;
  readonly origin: string;
  readonly goal: string;
  readonly phase: string;
  /** Milliseconds; null: not yet. */
  readonly admittedAt: number | null;
  /** Load and hosts when it was asked for; null: not measured. */
  readonly breach: { readonly rate: number | null; readonly hosts: number } | null;
}

export interface ServingHost {
  readonly name: string;
  readonly verdict: PolicyVerdict;
  /** Since when without a gap; null: not known. */
  readonly verdictSinceMs: number | null;
  readonly evidence: readonly PolicyEvidence[];
  /** Of one that is degraded or failing: another host would help it (not so for a spike, or what is recovering). */
  readonly lacksCapacity: boolean;
}

export interface RateSample {
  readonly atMs: number;
  /** Requests a second that were carried since the sample before, or another measure of load; null: not known. */
  readonly rate: number | null;
  /** Requests a second that came: more than are carried where they wait or are turned away. null: not known. */
  readonly arriving: number | null;
}

export interface ServiceFacts {
  readonly nowMs: number;
  readonly service: PolicyService;
  /** The lead, and every understudy that takes traffic. */
  readonly serving: readonly ServingHost[];
  /** All that have not ended, failed ones too. */
  readonly engagements: readonly PolicyEngagement[];
  /**
   * Further hosts that count for the maximum: of records that cannot be used, and of dismissals by force. Absent: none.
   */
  readonly others?: number;
  /** Spares of the pool that nobody uses, in the order of preference. */
  readonly freeSpares: readonly string[];
  /** Of the scale-in window and a little before it, oldest first. */
  readonly rates: readonly RateSample[];
  /** A longer silence between rates is a gap. @default 15 s */
  readonly rateGapMs?: number;
  /** When the number of hosts that serve changed last; null: never. */
  readonly lastChangeMs: number | null;
  /** Evidence that the bottleneck lies outside of the hosts, where another host does not help. Absent or null: none. */
  readonly outside?: PolicyEvidence | null;
}

export interface Verdict {
  readonly verdict: PolicyVerdict;
  readonly evidence: readonly PolicyEvidence[];
}

export interface Decision extends Verdict {
  readonly action: 'scale-out' | 'scale-in' | 'none';
  /** 'wanted': it is to be done. 'refused': it would be, and cannot. */
  readonly outcome: 'wanted' | 'refused' | 'none';
  readonly reason: string;
  /** The spare to be engaged, or the engagement to be released. */
  readonly subject: string | null;
}
