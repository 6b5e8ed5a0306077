// What the controller has seen of the world lately. It lives in memory because it is worthless when it is old: after a
// restart it is empty, and what is not known never scales anything in.

import type { ServiceConfig } from '../config/mod.ts';
import type { Observation, ObservedServer } from '../director/mod.ts';
import type { RateSample } from '../policy/mod.ts';
import type { PowerState } from '../power/mod.ts';
import { Components } from './components.ts';
import type { EvidenceView, Phase, VerdictView } from './contract.ts';
import { OwnJudges } from './own-judges.ts';
import type { UnusableRecord } from './records.ts';
import { combine, NOTHING_KNOWN, type Standing } from './standing.ts';

type Counts = Pick<Observation, 'requestsTotal' | 'answeredTotal'>;

/** An agent that has said nothing for so long is not believed any more. */
export const REPORT_STALE_MS = 20_000;

export interface AgentSeen {
  readonly atMs: number;
  readonly verdict: VerdictView;
  /** By our clock, counted back from the report by the age that the agent tells. */
  readonly sinceMs: number;
  readonly evidence: readonly EvidenceView[];
  readonly lacksCapacity: boolean;
  readonly outside: EvidenceView | null;
  /** Of the agent's life, and of the report in it. */
  readonly boot: string;
  readonly sequence: number;
}

export interface Wait {
  readonly phase: Phase;
  /** One word for one thing to wait for, whatever is told of it: a change of it is news. */
  readonly what: string;
  /** For people; follows "waits for". */
  readonly text: string;
}

export class World {
  readonly agents = new Map<string, AgentSeen>();
  readonly power = new Map<string, { readonly state: PowerState; readonly atMs: number }>();
  readonly progress = new Map<string, { readonly bytesDone: number; readonly bytesTotal: number }>();
  /** What the phase of an engagement waits for, by its name. */
  readonly waits = new Map<string, Wait>();
  /** Starts of the storage daemon after its first, as the node counts them; null: not seen yet. */
  daemonRestarts: number | null = null;
  /** Records of the store that cannot be used, as they were found last. */
  unusable: readonly UnusableRecord[] = [];
  /** Revisions of records that were found to be good, by their key. */
  readonly checked = new Map<string, number>();
  /** Directors, the storage node and the store. */
  readonly components = new Components();
  /** Signals that no agent brings. */
  readonly own = new OwnJudges();
  readonly #servers = new Map<string, ObservedServer>();
  readonly #asked = new Map<string, number>();
  readonly #rememberedMs = new Map<string, number>();
  readonly #rates = new Map<string, RateSample[]>();
  readonly #totals = new Map<string, { atMs: number; requests: number; answered: number }>();

  /** @returns whether policy may decide otherwise now: the verdict is another, or what it means */
  agentSeen(host: string, seen: AgentSeen): 'verdict' | 'meaning' | 'nothing' {
    const before = this.agentStanding(host, seen.atMs);
    this.agents.set(host, seen);
    if (before.verdict !== seen.verdict) return 'verdict';
    return before.lacksCapacity === seen.lacksCapacity ? 'nothing' : 'meaning';
  }

  /** Unknown when the host's agent has been silent for too long: never healthy by silence. */
  agentStanding(host: string, nowMs: number): Standing {
    const seen = this.agents.get(host);
    if (seen === undefined) return { ...NOTHING_KNOWN, evidence: [silence(host, 'was never heard')] };
    if (nowMs - seen.atMs <= REPORT_STALE_MS) return seen;
    return { ...NOTHING_KNOWN, evidence: [silence(host, 'is silent'), ...seen.evidence] };
  }

  /** By all signals of the service, wherever they come from. */
  standing(service: ServiceConfig, host: string, nowMs: number): Standing {
    const byAgent = service.signals.some(({ source }) => source.kind === 'agent');
    const own = this.own.at(service, host, nowMs);
    return combine([...(byAgent ? [this.agentStanding(host, nowMs)] : []), ...(own === null ? [] : [own])]);
  }

  /** @returns what was seen of it before; null: nothing */
  serverSeen(service: string, host: string, server: ObservedServer | null): ObservedServer | null {
    const key = `${service}/${host}`;
    const before = this.#servers.get(key) ?? null;
    if (server === null) this.#servers.delete(key);
    else this.#servers.set(key, server);
    return before;
  }

  /** When a signal was asked for last. */
  askedMs(service: string, signal: string): number {
    return this.#asked.get(`${service}/${signal}`) ?? Number.NEGATIVE_INFINITY;
  }

  asked(service: string, signal: string, atMs: number): void {
    this.#asked.set(`${service}/${signal}`, atMs);
  }

  /** Once in so many milliseconds, and not at the first look. */
  isTimeToRemember(service: string, nowMs: number, everyMs: number): boolean {
    const last = this.#rememberedMs.get(service);
    if (last !== undefined && nowMs >= last && nowMs - last < everyMs) return false;
    this.#rememberedMs.set(service, nowMs);
    return last !== undefined;
  }

  /**
   * Takes the director's counts; one that fell means a restart, and says nothing about the rate. null: it could not be
   * asked.
   */
  requestsSeen(service: string, seen: Counts | null, atMs: number, keepMs: number): void {
    const before = this.#totals.get(service);
    const since = (now: number, then: number): number | null =>
      before === undefined || now < then || atMs <= before.atMs ? null : ((now - then) * 1000) / (atMs - before.atMs);
    const rate = seen === null ? null : since(seen.answeredTotal, before?.answered ?? 0);
    // Counted from two numbers that are not read at one instant, it may fall by a few without a restart.
    const came = Math.max(seen?.requestsTotal ?? 0, before?.requests ?? 0);
    const arriving = seen === null || rate === null ? null : since(came, before?.requests ?? 0);
    if (seen === null) this.#totals.delete(service);
    else this.#totals.set(service, { atMs, requests: seen.requestsTotal, answered: seen.answeredTotal });
    const kept = (this.#rates.get(service) ?? []).filter((sample) => atMs - sample.atMs <= keepMs);
    this.#rates.set(service, [...kept, { atMs, rate, arriving }]);
  }

  ratesSince(service: string, fromMs: number): readonly RateSample[] {
    return (this.#rates.get(service) ?? []).filter((sample) => sample.atMs >= fromMs);
  }
}

function silence(host: string, what: string): EvidenceView {
  return { host, text: `the agent of ${host} ${what}`, values: {} };
}
