// Our own decisions: the detection and the policy of the agent and the controller.
import { decide, type PolicyEngagement, type PolicyService, type RateSample } from '../policy/mod.ts';
import { type Policy, SignalJudge } from '../replay/mod.ts';
import type { Scaler, Second } from './contract.ts';

/** The controller looks at a service so often. */
const LOOK_SECONDS = 5;
const WINDOW_SECONDS = 300;
const HISTORY_SECONDS = 20;

/** What a policy may have signals of, as columns of a recording. */
export const signalsOf: Readonly<Record<string, (seen: Second) => number>> = {
  latency: ({ latencyMilliseconds }) => latencyMilliseconds,
  utilization: ({ utilization }) => utilization,
  queue: ({ queue }) => queue,
  rate: ({ rate }) => rate,
};

export function ownScaler(policy: Policy): Scaler {
  const judges = policy.signals.map((signal) => new SignalJudge(signal, 1));
  const [first] = judges;
  const windowSeconds = policy.scaleIn.windowSeconds ?? WINDOW_SECONDS;
  const service: PolicyService = {
    name: 'service',
    hostsMax: policy.hostsMax,
    objective: { fastSeconds: first?.fastSeconds ?? 10, slowSeconds: first?.slowSeconds ?? 60 },
    scaleOut: policy.scaleOut,
    scaleIn: { ...policy.scaleIn, windowSeconds },
  };
  const own = new OwnHosts(service, windowSeconds);
  return {
    name: 'understudy',
    copies: true,
    step(seen) {
      for (const judge of judges)
        judge.add(seen.second * 1000, (signalsOf[judge.policy.name] ?? signalsOf.latency)?.(seen) ?? 0);
      const verdicts = judges.map(({ verdict }) => verdict);
      const isBroken = verdicts.some((one) => one === 'degraded' || one === 'failing');
      const wants = judges.some(({ wantsCapacity }) => wantsCapacity);
      const outside = judges.some(({ policy: { outside: is }, verdict }) => is && verdict === 'degraded');
      const verdict = isBroken
        ? wants
          ? 'degraded'
          : 'unknown'
        : verdicts.includes('unknown')
          ? 'unknown'
          : 'healthy';
      return own.step(seen, verdict, outside);
    },
  };
}

class OwnHosts {
  readonly #service: PolicyService;
  readonly #historySeconds: number;
  readonly #rates: RateSample[] = [];
  #hosts: PolicyEngagement[] = [];
  #asked = 0;
  #serving = 1;
  #lastChangeMs: number | null = null;
  #healthySinceMs: number | null = null;

  constructor(service: PolicyService, windowSeconds: number) {
    this.#service = service;
    this.#historySeconds = windowSeconds + HISTORY_SECONDS;
  }

  step(seen: Second, verdict: 'healthy' | 'degraded' | 'unknown', isOutside: boolean): number {
    const nowMs = seen.second * 1000;
    this.#observe(seen, nowMs);
    if (verdict !== 'healthy') this.#healthySinceMs = null;
    else this.#healthySinceMs ??= nowMs;
    if (seen.second % LOOK_SECONDS !== 0) return 0;
    this.#rates.push({ atMs: nowMs, rate: seen.served });
    while ((this.#rates[0]?.atMs ?? nowMs) < nowMs - this.#historySeconds * 1000) this.#rates.shift();
    const names = ['lead', ...this.#hosts.filter(({ phase }) => phase === 'serving').map(({ name }) => name)];
    const decision = decide({
      nowMs,
      service: this.#service,
      serving: names.map((name) => ({ name, verdict, verdictSinceMs: this.#healthySinceMs, evidence: [] })),
      engagements: this.#hosts,
      freeSpares: [`understudy${this.#asked + 1}`],
      rates: this.#rates,
      lastChangeMs: this.#lastChangeMs,
      outside: isOutside ? { host: null, text: 'a signal from outside of the hosts', values: {} } : null,
    });
    if (decision.outcome !== 'wanted') return 0;
    if (decision.action === 'scale-in') {
      this.#hosts = this.#hosts.map((host) =>
        host.name === decision.subject ? { ...host, goal: 'release', phase: 'drain' } : host,
      );
      this.#lastChangeMs = nowMs;
      return -1;
    }
    this.#asked += 1;
    const name = decision.subject ?? '';
    const breach = { rate: this.#recentRate(nowMs), hosts: 1 + this.#hosts.length };
    const host = {
      name,
      understudy: name,
      origin: 'automatic',
      goal: 'serve',
      phase: 'boot',
      admittedAt: null,
      breach,
    };
    this.#hosts = [...this.#hosts, host];
    return 1;
  }

  /** The model says when a host takes traffic, and when it is off. */
  #observe({ serving, draining }: Second, nowMs: number): void {
    if (serving > this.#serving) {
      this.#hosts = this.#hosts.map((host) =>
        host.phase === 'boot' ? { ...host, phase: 'serving', admittedAt: nowMs } : host,
      );
      this.#lastChangeMs = nowMs;
    }
    this.#serving = serving;
    if (draining === 0) this.#hosts = this.#hosts.filter(({ phase }) => phase !== 'drain');
  }

  #recentRate(nowMs: number): number {
    const recent = this.#rates.filter(({ atMs }) => atMs >= nowMs - this.#service.objective.fastSeconds * 1000);
    return recent.reduce((sum, { rate }) => sum + (rate ?? 0), 0) / (recent.length || 1);
  }
}
