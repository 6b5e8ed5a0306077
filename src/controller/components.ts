// What a service needs beside its hosts: the director in front of it, the storage node and the store. Each has a state
// of its own, so that a service whose users reach no server is not taken for a healthy one.
import { formatBytes, shown } from '../base/mod.ts';
import type { ServiceConfig } from '../config/mod.ts';
import type { Observation } from '../director/mod.ts';
import { type PolicyEvidence, type PolicyVerdict, type Verdict, worstFirst } from '../policy/mod.ts';
import type { StorageStatus } from '../storage/mod.ts';
import type { ComponentState, ComponentView } from './contract-parts.ts';
import { iso } from './journal.ts';

/** A director that was asked longer ago than this is not known any more. */
const STALE_MS = 60_000;

/** What was found at a look. */
export interface Condition {
  readonly state: ComponentState;
  /** One line. */
  readonly detail: string;
}

interface Seen extends Condition {
  /** When it was found in this state first. */
  readonly sinceMs: number;
  readonly atMs: number;
}

export class Components {
  readonly #seen = new Map<string, Seen>();

  /** @param key "director/wiki" */
  saw(key: string, { state, detail }: Condition, atMs: number): void {
    const before = this.#seen.get(key);
    const sinceMs = before?.state === state ? before.sinceMs : atMs;
    this.#seen.set(key, { state, detail, sinceMs, atMs });
  }

  /** Of a service's director; null: it was not asked yet. */
  director(service: string, nowMs: number): Condition | null {
    const seen = this.#seen.get(`director/${service}`);
    if (seen === undefined) return null;
    if (nowMs - seen.atMs <= STALE_MS) return seen;
    return { state: 'unknown', detail: `it was not asked since ${iso(seen.atMs)}` };
  }

  view(kind: ComponentView['kind'], name: string, driver: string, nowMs: number): ComponentView {
    const seen = this.#seen.get(`${kind}/${name}`);
    const condition = kind === 'director' ? this.director(name, nowMs) : seen === undefined ? null : { ...seen };
    const { state, detail } = condition ?? { state: 'unknown', detail: 'it was not asked yet' };
    const since = seen === undefined || seen.state !== state ? null : iso(seen.sinceMs);
    return { kind, name, driver, state, detail: shown(detail), since };
  }
}

/** Whether users get through: the lead takes requests, or at least some server does. */
export function directorCondition({ lead, name }: Pick<ServiceConfig, 'lead' | 'name'>, seen: Observation): Condition {
  const ready = seen.servers.filter(({ state }) => state === 'ready');
  const found = seen.servers.find((server) => server.name === lead);
  const leads = found === undefined ? `it has no server ${lead}` : `its server ${lead} is ${STATES[found.state]}`;
  if (ready.length === 0) return { state: 'down', detail: `no server takes requests of ${name}: ${leads}` };
  if (found?.state !== 'ready') return { state: 'degraded', detail: leads };
  const servers = ready.map((server) => server.name).join(' and ');
  return { state: 'ok', detail: `${servers} ${ready.length === 1 ? 'takes' : 'take'} requests` };
}

const STATES = {
  ready: 'ready',
  drain: 'drained',
  down: 'down, by its health check',
  maint: 'in maintenance',
} as const;

/** @param node null: it could not be asked */
export function storageCondition(node: StorageStatus | null): Condition {
  if (node === null) return { state: 'down', detail: 'the storage node does not answer' };
  const { daemon, volumes, freeBytes } = node;
  const restarts = `it was started again ${daemon.restarts} times`;
  if (!daemon.running) return { state: 'down', detail: `the daemon that holds the volumes does not run; ${restarts}` };
  const bad = volumes.filter(({ problem }) => problem !== null).map(({ name }) => name);
  if (bad.length > 0) return { state: 'degraded', detail: `it cannot serve ${bad.join(', ')}` };
  const again = daemon.restarts === 0 ? '' : `; ${restarts}`;
  return { state: 'ok', detail: `${formatBytes(freeBytes)} free in its folder${again}` };
}

/** @param unusable records that cannot be used */
export function storeCondition(unusable: number): Condition {
  if (unusable > 0) return { state: 'degraded', detail: `${unusable} records cannot be used (understudy records)` };
  return { state: 'ok', detail: 'all records can be used' };
}

/** A verdict of the hosts, and what the director in front of them adds to it. */
export function withDirector(verdict: Verdict, director: Condition | null): Verdict {
  if (director === null || director.state === 'ok') return verdict;
  const own = OF_STATE[director.state];
  const evidence: PolicyEvidence = { host: null, text: `director: ${director.detail}`, values: {} };
  const worst = worstFirst.find((one) => one === verdict.verdict || one === own) ?? own;
  return { verdict: worst, evidence: [...verdict.evidence, evidence] };
}

/** Of one that cannot be asked it is not known whether users get through. */
const OF_STATE: Readonly<Record<Exclude<ComponentState, 'ok'>, PolicyVerdict>> = {
  degraded: 'degraded',
  down: 'failing',
  unreachable: 'unknown',
  unknown: 'unknown',
};
