// The agent's own judgement: once a second it reads the sensors and starts a probe, gives the objective's samples to detection,
// and says when the verdict changes. Seed rows P1, P16, P23.
import type { Clock } from '../base/mod.ts';
import { createDetector, type Detector } from '../detection/mod.ts';
import type { HostSensors, Readings } from './host-sensors.ts';
import {
  type AgentEvidence,
  type AgentObjective,
  type AgentProbe,
  type AgentVerdict,
  EVIDENCE_MAX,
} from './protocol.ts';
import { type ProbeResult, probeService } from './service-probe.ts';

export const PROBE_SIGNAL = 'probe.milliseconds';

/**
 * Probes are started each second whether or not the earlier ones were answered: else a service would be asked the less often
 * the slower it is, and its slow moments would count the least. So many may wait at once.
 */
const PROBES_WAITING_MAX = 10;

const NO_PROBE = 'the controller has not asked for a probe';

export interface Standing {
  readonly verdict: AgentVerdict;
  /** By the monotonic clock. */
  readonly sinceMs: number;
  readonly evidence: readonly AgentEvidence[];
}

export class Watch {
  readonly #sensors: HostSensors;
  readonly #clock: Clock;
  readonly #signal: AbortSignal;
  readonly #onChange: (standing: Standing) => void;
  readonly #readings: Readings = new Map();
  #objective: AgentObjective | null = null;
  #detector: Detector | null = null;
  #probe: AgentProbe | null = null;
  /** Probes under way, oldest first, and when each began. */
  readonly #probing = new Map<Promise<void>, number>();
  /** When detection was last given a sample of the probe. */
  #sampledMs = Number.NEGATIVE_INFINITY;
  #tickedMs = Number.NEGATIVE_INFINITY;
  /** Why there is no objective. */
  #absence = 'the controller has not been heard yet';
  #standing: Standing;

  /** @param signal ends probes that are under way */
  constructor(sensors: HostSensors, clock: Clock, signal: AbortSignal, onChange: (standing: Standing) => void) {
    this.#sensors = sensors;
    this.#clock = clock;
    this.#signal = signal;
    this.#onChange = onChange;
    this.#standing = { verdict: 'unknown', sinceMs: clock.nowMs(), evidence: [fact(this.#absence)] };
    this.#setProbeError(NO_PROBE);
  }

  get standing(): Standing {
    return this.#standing;
  }

  /** The last of every signal. */
  get readings(): Readings {
    return this.#readings;
  }

  /** What is unchanged goes on; a new objective begins without samples. */
  instruct(objective: AgentObjective | null, probe: AgentProbe | null): void {
    const newProbe = !same(probe, this.#probe);
    if (newProbe) {
      this.#probe = probe;
      this.#setProbeError(probe === null ? NO_PROBE : 'not probed yet');
    }
    const restarted = newProbe && objective?.signal === PROBE_SIGNAL;
    if (objective === null) this.#absence = 'the host belongs to no service';
    if (!same(objective, this.#objective) || restarted) {
      this.#objective = objective;
      this.#detector = objective === null ? null : createDetector(objective);
    }
    this.#judge();
  }

  /** To be called once a second. */
  tick(): void {
    const readings = this.#sensors.sample();
    for (const [name, reading] of readings) this.#readings.set(name, reading);
    const signal = this.#objective?.signal;
    if (signal === PROBE_SIGNAL) this.#addWaiting();
    else if (signal !== undefined) this.#add(readings.get(signal)?.value ?? null);
    this.#startProbe();
    this.#judge();
  }

  /** Resolves when no probe is under way. */
  async settled(): Promise<void> {
    await Promise.all(this.#probing.keys());
  }

  /** The last word: nothing is known from now on. */
  close(reason: string): void {
    this.#objective = null;
    this.#detector = null;
    this.#probe = null;
    this.#absence = reason;
    this.#judge();
  }

  #startProbe(): void {
    const probe = this.#probe;
    if (probe === null) return;
    if (this.#probing.size >= PROBES_WAITING_MAX) return;
    const probing = probeService(probe, this.#clock, this.#signal).then((result) => {
      this.#probing.delete(probing);
      // An answer to a question that nobody asks any more.
      if (probe === this.#probe && !this.#signal.aborted) this.#probed(probe, result);
    });
    this.#probing.set(probing, this.#clock.nowMs());
  }

  /**
   * While nothing is answered, what is known comes from the probe that waits the longest: it will have taken more than that. Without
   * this, a service that stops answering would be unknown until the first time-out.
   */
  #addWaiting(): void {
    const nowMs = this.#clock.nowMs();
    const silent = this.#sampledMs <= this.#tickedMs;
    this.#tickedMs = nowMs;
    const [oldestMs] = this.#probing.values();
    if (!silent || oldestMs === undefined || this.#objective === null) return;
    const waitedMs = nowMs - oldestMs;
    if (waitedMs > this.#objective.below) this.#add(waitedMs);
  }

  #probed(probe: AgentProbe, result: ProbeResult): void {
    if (result.kind === 'answer') {
      this.#readings.set(PROBE_SIGNAL, { value: Math.round(result.milliseconds * 1000) / 1000, unit: 'ms' });
    } else {
      this.#setProbeError(`${probe.url}: ${result.reason}`.slice(0, 200));
    }
    if (this.#objective?.signal !== PROBE_SIGNAL) return;
    this.#sampledMs = this.#clock.nowMs();
    // What is known of a probe that was not served for lack of time or room is how long it would have taken at least. To leave
    // it out would make a service that serves nobody look like one of which nothing is known.
    this.#add(result.kind === 'answer' ? result.milliseconds : result.atLeastMs);
    this.#judge();
  }

  #setProbeError(error: string): void {
    this.#readings.set(PROBE_SIGNAL, { value: null, unit: 'ms', error });
  }

  #add(value: number | null): void {
    this.#detector?.add({ atMs: this.#clock.nowMs(), value });
  }

  #judge(): void {
    const nowMs = this.#clock.nowMs();
    const { verdict, evidence } = this.#judgement(nowMs);
    const changed = verdict !== this.#standing.verdict;
    this.#standing = { verdict, sinceMs: changed ? nowMs : this.#standing.sinceMs, evidence };
    if (changed) this.#onChange(this.#standing);
  }

  #judgement(nowMs: number): Pick<Standing, 'verdict' | 'evidence'> {
    if (this.#objective === null || this.#detector === null) {
      return { verdict: 'unknown', evidence: [fact(this.#absence)] };
    }
    const { verdict, reason, evidence } = this.#detector.verdict(nowMs);
    const all = [fact(reason), ...this.#missing(this.#objective), ...evidence];
    return { verdict, evidence: all.slice(0, EVIDENCE_MAX) };
  }

  /** Why the objective's signal has no value, if it has none. */
  #missing({ signal }: AgentObjective): AgentEvidence[] {
    const reading = this.#readings.get(signal);
    if (reading === undefined) return [fact(`${signal} is not a signal of this agent`)];
    return reading.value === null ? [fact(`${signal} has no value: ${reading.error ?? 'no reason given'}`)] : [];
  }
}

function fact(text: string): AgentEvidence {
  return { text, values: {} };
}

function same(one: unknown, other: unknown): boolean {
  return JSON.stringify(one) === JSON.stringify(other);
}
