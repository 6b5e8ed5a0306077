// What the controller tells while the demo runs: each decision with its evidence, each phase as it ends.
import { setTimeout as delay } from 'node:timers/promises';
import type { Stage } from './stage.ts';

export interface Engagement {
  readonly name: string;
  readonly understudy: string;
  readonly phase: string;
  readonly state: string;
  readonly error: { readonly code: string; readonly message: string } | null;
  readonly stages: readonly { readonly phase: string; readonly seconds: number }[];
  readonly timeToCapacitySeconds: number | null;
}

interface Decision {
  readonly at: string;
  readonly action: string;
  readonly outcome: string;
  readonly reason: string;
  readonly evidence: readonly { readonly host: string | null; readonly text: string }[];
}

interface Status {
  readonly services: readonly { readonly verdict: string; readonly lastDecision: Decision | null }[];
  readonly engagements: readonly Engagement[];
}

export interface Moment {
  readonly verdict: string;
  readonly engagement: Engagement | null;
}

const LOOK_MS = 500;
const PATIENCE_MS = 180_000;

export class Timeline {
  readonly #stage: Stage;
  readonly #say: (text: string) => void;
  #decision = '';
  #verdict = '';
  #told = 0;
  engagement: Engagement | null = null;

  constructor(stage: Stage, say: (text: string) => void) {
    this.#stage = stage;
    this.#say = say;
  }

  async during(milliseconds: number): Promise<void> {
    const end = performance.now() + milliseconds;
    while (performance.now() < end) await this.#look();
  }

  async until(what: string, reached: (moment: Moment) => boolean): Promise<void> {
    const end = performance.now() + PATIENCE_MS;
    while (!reached(await this.#look())) {
      if (performance.now() > end) throw new Error(`waited ${PATIENCE_MS / 1000} s in vain until ${what}`);
    }
  }

  async #look(): Promise<Moment> {
    await delay(LOOK_MS);
    const { services, engagements } = await this.#stage.api<Status>('/v1/status');
    const [service] = services;
    this.engagement = engagements.at(-1) ?? null;
    const verdict = service?.verdict ?? 'unknown';
    if (verdict !== this.#verdict) this.#say(`verdict: ${verdict}`);
    this.#verdict = verdict;
    this.#tellDecision(service?.lastDecision ?? null);
    this.#tellPhases();
    const error = this.engagement?.error ?? null;
    if (this.engagement?.state === 'failed') throw new Error(`${error?.message} (${error?.code})`);
    return { verdict, engagement: this.engagement };
  }

  #tellDecision(decision: Decision | null): void {
    if (decision === null || decision.at === this.#decision) return;
    this.#decision = decision.at;
    this.#say(
      `decision: ${decision.action === 'none' ? 'nothing' : `${decision.action}, ${decision.outcome}`}: ${decision.reason}`,
    );
    if (decision.action === 'none') return;
    for (const { host, text } of decision.evidence) {
      this.#say(`          because ${host === null ? '' : `${host}: `}${text}`);
    }
  }

  #tellPhases(): void {
    const stages = this.engagement?.stages ?? [];
    for (const { phase, seconds } of stages.slice(this.#told)) {
      if (phase !== 'serving') this.#say(`          ${phase} took ${seconds.toFixed(1)} s`);
    }
    this.#told = stages.length;
  }
}
