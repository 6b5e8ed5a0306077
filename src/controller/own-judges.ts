// Signals that no agent brings: samples of the director and of Prometheus, judged here as an agent judges its own. They
// live in memory; after a restart nothing is known until the windows are filled again, but what baselines have learned
// comes back.
import { intervalOf, type ServiceConfig, type SignalConfig } from '../config/mod.ts';
import { type BaselineMemory, Judge, parseBaselineMemory, wayOf } from '../detection/mod.ts';
import { cutText } from './evidence.ts';
import { NOTHING_KNOWN, type Standing } from './standing.ts';

interface Judged {
  judge: Judge;
  /** Why a signal has no value at present, by its name. */
  readonly missing: Map<string, string>;
  judgedMs: number;
  standing: Standing;
  /** What was asked of the signals when the judge was made. */
  readonly policies: string;
}

/** By the signal and the way in which it is judged. */
export type Memories = Readonly<Record<string, BaselineMemory>>;

export interface OwnSample {
  readonly service: ServiceConfig;
  readonly host: string;
  readonly signal: string;
  readonly atMs: number;
  readonly value: number | null;
  /** Why there is no value. */
  readonly reason?: string;
}

export class OwnJudges {
  readonly #judged = new Map<string, Judged>();
  readonly #recalled = new Map<string, Readonly<Record<string, unknown>>>();

  /** What an earlier life has learned of a host. To be called before anything else. */
  recall(service: string, host: string, memories: Readonly<Record<string, unknown>>): void {
    this.#recalled.set(`${service}/${host}`, memories);
  }

  /** What was learned of a host; empty: nothing. */
  memories(service: string, host: string): Memories {
    const memories: Record<string, BaselineMemory> = {};
    for (const { policy, memory } of this.#judged.get(`${service}/${host}`)?.judge.signals ?? []) {
      if (memory !== null) memories[wayOf(policy)] = memory;
    }
    return memories;
  }

  add({ service, host, signal, atMs, value, reason }: OwnSample): void {
    const judged = this.#of(service, host, atMs);
    judged.judge.signals.find(({ policy }) => policy.name === signal)?.add(atMs, value);
    if (value !== null) judged.missing.delete(signal);
    else judged.missing.set(signal, reason ?? 'it has none at present');
  }

  /**
   * Looked at often, so that what was healthy without a gap is told from what was not seen. null: the service has no
   * such signals.
   */
  at(service: ServiceConfig, host: string, nowMs: number): Standing | null {
    if (ownSignals(service).length === 0) return null;
    const judged = this.#of(service, host, nowMs);
    const { condition, facts, lacksCapacity, outside } = judged.judge.at(nowMs);
    const missing = [...judged.missing].map(([name, reason]) => ({
      text: `${name} has no value: ${reason}`,
      values: {},
    }));
    const isSame = condition === judged.standing.verdict;
    judged.judgedMs = nowMs;
    judged.standing = {
      verdict: condition,
      sinceMs: isSame ? judged.standing.sinceMs : nowMs,
      evidence: [...facts, ...missing].map((fact) => ({ host, ...fact, text: cutText(fact.text) })),
      lacksCapacity,
      outside: outside === null ? null : { host, ...outside },
    };
    return judged.standing;
  }

  /** What was learned of a host that serves no more is of no use when it comes back as another. */
  keep(service: string, hosts: readonly string[]): void {
    for (const key of this.#judged.keys()) {
      if (key.startsWith(`${service}/`) && !hosts.includes(key.slice(service.length + 1))) this.#judged.delete(key);
    }
  }

  #of(service: ServiceConfig, host: string, nowMs: number): Judged {
    const key = `${service.name}/${host}`;
    const known = this.#judged.get(key);
    // The clock was set back: what is judged by later times cannot be told from what comes now.
    const policies = JSON.stringify(ownSignals(service));
    if (known !== undefined && nowMs >= known.judgedMs && known.policies === policies) return known;
    // Other signals, or other objectives: what was learned of those that stay is kept.
    if (known !== undefined && known.policies !== policies) this.#recalled.set(key, this.memories(service.name, host));
    const intervals = new Map<string, number>(
      ownSignals(service).map(({ name, source }) => [name, intervalOf(source)]),
    );
    const judge = new Judge(ownSignals(service), ({ name }) => intervals.get(name) ?? 1, 'live');
    for (const signal of judge.signals) {
      const memory = parseBaselineMemory(this.#recalled.get(key)?.[wayOf(signal.policy)]);
      if (memory !== null && memory.lastMs < nowMs) signal.restore(memory);
    }
    this.#recalled.delete(key);
    const judged = { judge, missing: new Map<string, string>(), judgedMs: nowMs, standing: NOTHING_KNOWN, policies };
    this.#judged.set(key, judged);
    return judged;
  }
}

/** Those that no agent judges. */
export function ownSignals(service: ServiceConfig): readonly SignalConfig[] {
  return service.signals.filter(({ source }) => source.kind !== 'agent');
}
