// Hosts that exist on paper only: what a policy would engage and release, for replays and simulations. Time comes from outside.
import type {
  Decision,
  PolicyEngagement,
  PolicyEvidence,
  PolicyService,
  PolicyVerdict,
  RateSample,
} from './contract.ts';
import { carriedRate, decide } from './decide.ts';

export interface Look {
  /** Not before that of an earlier look. */
  readonly nowMs: number;
  /** Of all hosts: they are alike. */
  readonly verdict: PolicyVerdict;
  readonly lacksCapacity: boolean;
  readonly rates: readonly RateSample[];
  readonly rateGapMs: number;
  readonly outside: PolicyEvidence | null;
}

interface Engaged extends PolicyEngagement {
  /** When it takes traffic; of one that drains: when it is off. */
  readonly nextMs: number;
}

export class Understudies {
  readonly #service: PolicyService;
  readonly #toCapacityMs: number;
  readonly #drainMs: number;
  #engaged: readonly Engaged[] = [];
  #asked = 0;
  #lastChangeMs: number | null = null;
  #healthySinceMs: number | null = null;

  constructor(
    service: PolicyService,
    { secondsToCapacity, drainSeconds }: { secondsToCapacity: number; drainSeconds: number },
  ) {
    this.#service = service;
    this.#toCapacityMs = secondsToCapacity * 1000;
    this.#drainMs = drainSeconds * 1000;
  }

  /** The lead, and those that serve or are on their way. */
  get hosts(): number {
    return 1 + this.#engaged.filter(({ goal }) => goal === 'serve').length;
  }

  /** To be told of every moment, for a window without a gap is what proves that one can go. */
  pass(nowMs: number, verdict: PolicyVerdict): void {
    if (verdict !== 'healthy') this.#healthySinceMs = null;
    else this.#healthySinceMs ??= nowMs;
    const due = this.#engaged.some(({ phase, nextMs }) => phase !== 'serving' && nextMs <= nowMs);
    if (!due) return;
    if (this.#engaged.some(({ phase, nextMs }) => phase === 'boot' && nextMs <= nowMs)) this.#lastChangeMs = nowMs;
    this.#engaged = this.#engaged
      .filter(({ phase, nextMs }) => phase !== 'drain' || nextMs > nowMs)
      .map((one) =>
        one.phase === 'boot' && one.nextMs <= nowMs ? { ...one, phase: 'serving', admittedAt: nowMs } : one,
      );
  }

  /** What is to be done, and is done at once; null: nothing. Call `pass` before. */
  look({ nowMs, verdict, lacksCapacity, rates, rateGapMs, outside }: Look): Decision | null {
    const serving = ['lead', ...this.#engaged.filter(({ phase }) => phase === 'serving').map(({ name }) => name)];
    const facts = {
      nowMs,
      service: this.#service,
      serving: serving.map((name) => ({
        name,
        verdict,
        lacksCapacity,
        verdictSinceMs: this.#healthySinceMs,
        evidence: [],
      })),
      engagements: this.#engaged,
      freeSpares: [`understudy${this.#asked + 1}`],
      rates,
      rateGapMs,
      lastChangeMs: this.#lastChangeMs,
      outside,
    };
    const decision = decide(facts);
    if (decision.outcome !== 'wanted') return null;
    if (decision.action === 'scale-in') this.#release(decision.subject, nowMs);
    else this.#engage(decision.subject ?? '', nowMs, { rate: carriedRate(facts), hosts: serving.length });
    return decision;
  }

  #engage(name: string, nowMs: number, breach: PolicyEngagement['breach']): void {
    this.#asked += 1;
    const engagement = {
      name,
      understudy: name,
      origin: 'automatic',
      goal: 'serve',
      phase: 'boot',
      admittedAt: null,
      breach,
    };
    this.#engaged = [...this.#engaged, { ...engagement, nextMs: nowMs + this.#toCapacityMs }];
  }

  #release(name: string | null, nowMs: number): void {
    const nextMs = nowMs + this.#drainMs;
    this.#engaged = this.#engaged.map((one) =>
      one.name === name ? { ...one, goal: 'release', phase: 'drain', nextMs } : one,
    );
    this.#lastChangeMs = nowMs;
  }
}
