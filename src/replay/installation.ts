// The hosts that a policy would have engaged, and what it would have decided about them. Nothing of what it decides changes the recording, so
// it is what would have been done, not what would have come of it: `simulate` is for that.
import type { Judge } from '../detection/mod.ts';
import { type PolicyService, type PolicyVerdict, type RateSample, Understudies } from '../policy/mod.ts';
import type { Policy, ReplayScaling } from './contract.ts';

const WINDOW_SECONDS = 300;
const WINDOW_INTERVALS = 12;
const GAP_MS = 15_000;
const GAP_INTERVALS = 3;
/** A change of the verdict is looked at at once, what goes on so often in the window that has to prove something. */
const LOOKS_IN_WINDOW = 4;

export interface Moment {
  readonly atMs: number;
  readonly verdict: PolicyVerdict;
  /** Of the last sample of the load up to now, in the order of times. */
  readonly index: number;
  /** Asked for the reasons only when something may be decided. */
  readonly judge: Pick<Judge, 'facts' | 'lacksCapacity' | 'outside'>;
}

/** Times and values in one order; NaN where nothing was measured. */
export interface Load {
  readonly timesMs: Float64Array;
  readonly values: Float64Array;
}

export interface Windows {
  readonly fastSeconds: number;
  readonly slowSeconds: number;
  readonly intervalSeconds: number;
}

/** A policy as the controller is told it, with windows that fit the samples. */
export function serviceOf({ hostsMax, scaleOut, scaleIn }: Policy, windows: Windows): PolicyService {
  const windowSeconds = scaleIn.windowSeconds ?? Math.max(WINDOW_SECONDS, WINDOW_INTERVALS * windows.intervalSeconds);
  return { name: 'service', hostsMax, windows, scaleOut, scaleIn: { ...scaleIn, windowSeconds } };
}

export class Installation {
  readonly scaling: ReplayScaling[] = [];
  readonly #understudies: Understudies;
  readonly #load: Load;
  readonly #gapMs: number;
  readonly #historyMs: number;
  readonly #fastMs: number;
  readonly #lookEveryMs: Readonly<Record<PolicyVerdict, number>>;
  #lookedMs = Number.NEGATIVE_INFINITY;
  #lookedAt: PolicyVerdict = 'unknown';

  constructor(policy: Policy, load: Load, windows: Windows) {
    const service = serviceOf(policy, windows);
    const windowMs = service.scaleIn.windowSeconds * 1000;
    this.#understudies = new Understudies(service, { ...policy, drainSeconds: 0 });
    this.#load = load;
    this.#gapMs = Math.max(GAP_MS, GAP_INTERVALS * windows.intervalSeconds * 1000);
    this.#historyMs = windowMs + this.#gapMs;
    this.#fastMs = windows.fastSeconds * 1000;
    const degraded = (windows.fastSeconds * 1000) / LOOKS_IN_WINDOW;
    this.#lookEveryMs = { degraded, failing: degraded, healthy: windowMs / LOOKS_IN_WINDOW, unknown: 0 };
  }

  /** Moments come in their order. */
  pass(moment: Moment): void {
    const { atMs, verdict } = moment;
    this.#understudies.pass(atMs, verdict);
    // Otherwise nothing could be decided, and most moments are like that.
    if (verdict === 'unknown' || (verdict === 'healthy' && this.#understudies.hosts === 1)) {
      this.#lookedMs = Number.NEGATIVE_INFINITY;
      return;
    }
    if (verdict === this.#lookedAt && atMs < this.#lookedMs + this.#lookEveryMs[verdict]) return;
    this.#lookedAt = verdict;
    this.#lookedMs = atMs;
    this.#look(moment);
  }

  #look({ atMs, index, verdict, judge }: Moment): void {
    // Only what takes a host away looks back as far as the window that has to prove something.
    const rates = this.#ratesUpTo(index, atMs - (verdict === 'healthy' ? this.#historyMs : this.#fastMs));
    const decision = this.#understudies.look({
      nowMs: atMs,
      verdict,
      rates,
      rateGapMs: this.#gapMs,
      lacksCapacity: judge.lacksCapacity,
      outside: judge.outside === null ? null : { host: null, ...judge.outside },
    });
    if (decision === null || decision.action === 'none') return;
    const { action, reason } = decision;
    const facts = judge.facts().map(({ text }) => text);
    const why = action === 'scale-out' ? `: ${facts.join('; ')}` : '';
    const at = new Date(atMs).toISOString();
    this.scaling.push({ at, action, hosts: this.#understudies.hosts, reason: reason + why });
  }

  /** Built when something is to be decided, which is seldom. */
  #ratesUpTo(index: number, fromMs: number): readonly RateSample[] {
    const { timesMs, values } = this.#load;
    const rates: RateSample[] = [];
    for (let at = index; at >= 0 && (timesMs[at] ?? 0) >= fromMs; at -= 1) {
      const value = values[at] ?? Number.NaN;
      rates.push({ atMs: timesMs[at] ?? 0, rate: Number.isFinite(value) ? Math.max(0, value) : null, arriving: null });
    }
    return rates.reverse();
  }
}
