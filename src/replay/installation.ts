// The hosts that a policy would have engaged, and what it would have decided about them. Nothing of what it decides changes the recording, so
// it is what would have been done, not what would have come of it: `simulate` is for that.
import {
  type Decision,
  decide,
  type PolicyEngagement,
  type PolicyService,
  type PolicyVerdict,
  type RateSample,
} from '../policy/mod.ts';
import type { Policy, ReplayScaling } from './contract.ts';

const WINDOW_SECONDS = 300;
const WINDOW_INTERVALS = 12;
const GAP_MS = 15_000;
/** A change of the verdict is looked at at once, what goes on so often in the window that has to prove something. */
const LOOKS_IN_WINDOW = 4;
const GAP_INTERVALS = 3;

export interface Moment {
  readonly atMs: number;
  readonly verdict: PolicyVerdict;
  readonly evidence: () => readonly string[];
  /** Of the last sample of the load up to now, in the order of times. */
  readonly index: number;
  /** A line about what outside of the hosts holds it up; null: nothing. */
  readonly outside: string | null;
}

/** Times and values in one order; NaN where nothing was measured. */
export interface Load {
  readonly timesMs: Float64Array;
  readonly values: Float64Array;
}

interface Host extends PolicyEngagement {
  readonly readyMs: number;
}

export class Installation {
  readonly #policy: Policy;
  readonly #service: PolicyService;
  readonly #gapMs: number;
  readonly #historyMs: number;
  readonly scaling: ReplayScaling[] = [];
  readonly #load: Load;
  #lookedMs = Number.NEGATIVE_INFINITY;
  #lookedAt: PolicyVerdict = 'unknown';
  readonly #lookEveryMs: { readonly degraded: number; readonly healthy: number };
  #hosts: readonly Host[] = [];
  #asked = 0;
  #lastChangeMs: number | null = null;
  #healthySinceMs: number | null = null;

  constructor(
    policy: Policy,
    load: Load,
    windows: { readonly fastSeconds: number; readonly slowSeconds: number; readonly intervalSeconds: number },
  ) {
    const { intervalSeconds } = windows;
    const windowSeconds = policy.scaleIn.windowSeconds ?? Math.max(WINDOW_SECONDS, WINDOW_INTERVALS * intervalSeconds);
    this.#policy = policy;
    this.#load = load;
    this.#service = {
      name: 'service',
      hostsMax: policy.hostsMax,
      objective: windows,
      scaleOut: policy.scaleOut,
      scaleIn: { ...policy.scaleIn, windowSeconds },
    };
    this.#gapMs = Math.max(GAP_MS, GAP_INTERVALS * intervalSeconds * 1000);
    this.#lookEveryMs = {
      degraded: (windows.fastSeconds * 1000) / LOOKS_IN_WINDOW,
      healthy: (windowSeconds * 1000) / LOOKS_IN_WINDOW,
    };
    this.#historyMs = windowSeconds * 1000 + this.#gapMs;
  }

  /** Moments come in their order. */
  pass(moment: Moment): void {
    const { atMs, verdict } = moment;
    if (verdict !== 'healthy') this.#healthySinceMs = null;
    else this.#healthySinceMs ??= atMs;
    this.#admit(atMs);
    // Otherwise nothing could be decided, and most moments are like that.
    if (verdict === 'unknown' || (verdict === 'healthy' && this.#hosts.length === 0)) {
      this.#lookedMs = Number.NEGATIVE_INFINITY;
      return;
    }
    if (verdict === this.#lookedAt && atMs < this.#lookedMs + this.#lookEveryMs[verdict]) return;
    this.#lookedAt = verdict;
    this.#lookedMs = atMs;
    this.#decide(moment);
  }

  #admit(atMs: number): void {
    if (!this.#hosts.some(({ phase, readyMs }) => phase === 'boot' && readyMs <= atMs)) return;
    this.#hosts = this.#hosts.map((host) =>
      host.phase === 'boot' && host.readyMs <= atMs ? { ...host, phase: 'serving', admittedAt: atMs } : host,
    );
    this.#lastChangeMs = atMs;
  }

  #decide({ atMs, index, verdict, evidence, outside }: Moment): void {
    const rates = this.#ratesUpTo(index, atMs - this.#historyMs);
    const names = [
      'lead',
      ...this.#hosts.filter(({ phase }) => phase === 'serving').map(({ understudy }) => understudy),
    ];
    const about = { verdict, verdictSinceMs: this.#healthySinceMs, evidence: [] };
    const decision = decide({
      nowMs: atMs,
      service: this.#service,
      serving: names.map((name) => ({ name, ...about })),
      engagements: this.#hosts,
      freeSpares: [`understudy${this.#asked + 1}`],
      rates,
      rateGapMs: this.#gapMs,
      lastChangeMs: this.#lastChangeMs,
      outside: outside === null ? null : { host: null, text: outside, values: {} },
    });
    if (decision.outcome === 'wanted') this.#carryOut(decision, atMs, { evidence: evidence(), rates });
  }

  #carryOut(
    { action, subject, reason }: Decision,
    atMs: number,
    { evidence, rates }: { readonly evidence: readonly string[]; readonly rates: readonly RateSample[] },
  ): void {
    if (action === 'scale-out') {
      this.#asked += 1;
      const name = subject ?? '';
      const breach = { rate: this.#recentLoad(rates, atMs), hosts: 1 + this.#hosts.length };
      const readyMs = atMs + this.#policy.secondsToCapacity * 1000;
      const host = { name, understudy: name, origin: 'automatic', goal: 'serve', phase: 'boot', admittedAt: null };
      this.#hosts = [...this.#hosts, { ...host, breach, readyMs }];
    } else {
      this.#hosts = this.#hosts.filter(({ name }) => name !== subject);
      this.#lastChangeMs = atMs;
    }
    const why = action === 'scale-out' && evidence.length > 0 ? `: ${evidence.join('; ')}` : '';
    this.scaling.push({
      at: new Date(atMs).toISOString(),
      action: action === 'scale-out' ? 'scale-out' : 'scale-in',
      hosts: 1 + this.#hosts.length,
      reason: reason + why,
    });
  }

  #recentLoad(rates: readonly RateSample[], atMs: number): number | null {
    const fromMs = atMs - this.#service.objective.fastSeconds * 1000;
    const recent = rates.flatMap(({ atMs: at, rate }) => (rate === null || at < fromMs ? [] : [rate]));
    return recent.length === 0 ? null : recent.reduce((sum, rate) => sum + rate, 0) / recent.length;
  }

  /** Built when something is to be decided, which is seldom. */
  #ratesUpTo(index: number, fromMs: number): readonly RateSample[] {
    const { timesMs, values } = this.#load;
    const rates: RateSample[] = [];
    for (let at = index; at >= 0 && (timesMs[at] ?? 0) >= fromMs; at -= 1) {
      const value = values[at] ?? Number.NaN;
      rates.push({ atMs: timesMs[at] ?? 0, rate: Number.isFinite(value) ? Math.max(0, value) : null });
    }
    return rates.reverse();
  }
}
