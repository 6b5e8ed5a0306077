// What the controller has seen of the world lately. It lives in memory because it is worthless when it is old: after a
// restart it is empty, and what is not known never scales anything in.

import type { RateSample } from '../policy/mod.ts';
import type { PowerState } from '../power/mod.ts';
import type { EvidenceView, VerdictView } from './contract.ts';

/** An agent that has said nothing for so long is not believed any more. */
export const REPORT_STALE_MS = 20_000;

export interface AgentSeen {
  readonly atMs: number;
  readonly verdict: VerdictView;
  /** By our clock, counted back from the report by the age that the agent tells. */
  readonly sinceMs: number;
  readonly evidence: readonly EvidenceView[];
  /** Of the agent's life, and of the report in it. */
  readonly boot: string;
  readonly sequence: number;
}

export class World {
  readonly agents = new Map<string, AgentSeen>();
  readonly power = new Map<string, { readonly state: PowerState; readonly atMs: number }>();
  readonly progress = new Map<string, { readonly bytesDone: number; readonly bytesTotal: number }>();
  readonly #rates = new Map<string, RateSample[]>();
  readonly #totals = new Map<string, { atMs: number; total: number }>();

  /** @returns whether the verdict is another than before */
  agentSeen(host: string, seen: AgentSeen): boolean {
    const before = this.verdictOf(host, seen.atMs);
    this.agents.set(host, seen);
    return before !== seen.verdict;
  }

  /** Unknown when the host's agent has been silent for too long: never healthy by silence. */
  verdictOf(host: string, nowMs: number): VerdictView {
    const seen = this.agents.get(host);
    if (seen === undefined || nowMs - seen.atMs > REPORT_STALE_MS) return 'unknown';
    return seen.verdict;
  }

  /** Since when the host has had its present verdict without a gap, as its agent tells; null when there is no fresh report. */
  verdictSince(host: string, nowMs: number): number | null {
    const seen = this.agents.get(host);
    return seen === undefined || nowMs - seen.atMs > REPORT_STALE_MS ? null : seen.sinceMs;
  }

  /** Takes the director's count of requests; a count that fell means a restart, and says nothing about the rate. */
  requestsSeen(service: string, total: number | null, atMs: number, keepMs: number): void {
    const before = this.#totals.get(service);
    const rate =
      total === null || before === undefined || total < before.total || atMs <= before.atMs
        ? null
        : ((total - before.total) * 1000) / (atMs - before.atMs);
    if (total === null) this.#totals.delete(service);
    else this.#totals.set(service, { atMs, total });
    const kept = (this.#rates.get(service) ?? []).filter((sample) => atMs - sample.atMs <= keepMs);
    this.#rates.set(service, [...kept, { atMs, rate }]);
  }

  ratesSince(service: string, fromMs: number): readonly RateSample[] {
    return (this.#rates.get(service) ?? []).filter((sample) => sample.atMs >= fromMs);
  }
}
