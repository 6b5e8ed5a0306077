// The agent's own judgement: once a second it reads the sensors and starts a probe, gives the objective's samples to detection,
// and says when the verdict changes. Seed rows P1, P16, P23.
import type { Clock } from '../base/mod.ts';
import { type Fact, Judge, type SignalJudge } from '../detection/mod.ts';
import { Asking } from './asking.ts';
import { type CommandResult, runCommand } from './command-probe.ts';
import type { HostSensors } from './host-sensors.ts';
import type { Learned } from './learned.ts';
import { type AgentEvidence, type AgentProbe, type AgentSignal, type AgentVerdict, EVIDENCE_MAX } from './protocol.ts';
import { type ProbeResult, probeService } from './service-probe.ts';
import { Summaries } from './summaries.ts';

export const PROBE_SIGNAL = 'probe.milliseconds';
export const COMMAND_SIGNAL = 'command.milliseconds';
export const COMMAND_VALUE = 'command.value';
/** They bring their samples when they are answered, not with the tick. */
const ASKED: readonly string[] = [PROBE_SIGNAL, COMMAND_SIGNAL, COMMAND_VALUE];

const PROBES_AT_ONCE = 10;
const SAMPLE_SECONDS = 1;
/** What has no objective is waited for so long before the waiting itself counts. */
const WAITING_MS = 1000;
const ERROR_CHARACTERS_MAX = 200;

const NO_PROBE = 'the controller has not asked for a probe';

const NOTHING: Pick<Standing, 'verdict' | 'score' | 'lacksCapacity'> & { readonly isOutside: boolean } = {
  verdict: 'unknown',
  score: 0,
  lacksCapacity: false,
  isOutside: false,
};

export interface Standing {
  readonly verdict: AgentVerdict;
  /** By the monotonic clock. */
  readonly sinceMs: number;
  readonly evidence: readonly AgentEvidence[];
  readonly score: number;
  readonly lacksCapacity: boolean;
  readonly outside: AgentEvidence | null;
}

export interface WatchParts {
  readonly sensors: Pick<HostSensors, 'sample'>;
  readonly clock: Clock;
  /** Ends what is under way. */
  readonly signal: AbortSignal;
  /** Program and arguments of the host's own probe; null: none. */
  readonly command: readonly string[] | null;
  readonly learned: Learned;
  /** @param isVerdict whether the verdict is another; else only what it means for policy */
  readonly onChange: (standing: Standing, isVerdict: boolean) => void;
}

export class Watch {
  readonly summaries = new Summaries();
  readonly #parts: WatchParts;
  readonly #command: Asking<CommandResult> | null;
  #judge: Judge | null = null;
  #signals: readonly AgentSignal[] = [];
  #probe: AgentProbe | null = null;
  #probing: Asking<ProbeResult> | null = null;
  /** Why there is nothing to judge. */
  #absence = 'the controller has not been heard yet';
  /** As it was judged last. */
  #judged: Omit<Standing, 'evidence' | 'outside'> & { readonly isOutside: boolean };

  constructor(parts: WatchParts) {
    this.#parts = parts;
    this.#judged = { ...NOTHING, sinceMs: parts.clock.nowMs() };
    this.#setError(PROBE_SIGNAL, NO_PROBE);
    const { command, clock, signal } = parts;
    this.#command =
      command === null
        ? null
        : new Asking({
            clock,
            atOnce: 1,
            ask: () => runCommand(command, clock, signal),
            onResult: (result) => this.#commanded(result),
          });
  }

  /** With the reasons, which are put into words only for somebody who asks. */
  get standing(): Standing {
    const { isOutside, ...judged } = this.#judged;
    const facts = this.#judge?.facts() ?? [fact(this.#absence)];
    const [first, ...rest] = facts;
    // Why there is no value says more than that there is none.
    const all = [...(first === undefined ? [] : [first]), ...this.#missing(), ...rest];
    const outside = isOutside ? (this.#judge?.outside ?? null) : null;
    return { ...judged, evidence: all.slice(0, EVIDENCE_MAX), outside };
  }

  /** What is unchanged goes on; another instruction begins without samples, baselines with what they have learned. */
  instruct(signals: readonly AgentSignal[], probe: AgentProbe | null): void {
    const newProbe = !same(probe, this.#probe);
    if (newProbe) this.#setProbe(probe);
    const restarted = newProbe && signals.some(({ name }) => name === PROBE_SIGNAL);
    if (signals.length === 0) this.#absence = 'nothing of this host is to be judged';
    if (!same(signals, this.#signals) || restarted) {
      this.remember();
      this.#signals = signals;
      this.#judge = signals.length === 0 ? null : this.#newJudge();
    }
    this.#judgeNow();
  }

  /** To be called once a second. */
  tick(): void {
    const nowMs = this.#parts.clock.nowMs();
    const readings = this.#parts.sensors.sample();
    for (const [name, reading] of readings) this.summaries.note(name, reading);
    for (const signal of this.#judge?.signals ?? []) {
      const { name } = signal.policy;
      if (!ASKED.includes(name)) signal.add(nowMs, readings.get(name)?.value ?? null);
    }
    this.#ask(PROBE_SIGNAL, this.#probing);
    this.#ask(COMMAND_SIGNAL, this.#command);
    this.#judgeNow();
  }

  /** What baselines have learned up to now is handed over. */
  remember(): void {
    for (const { policy, memory } of this.#judge?.signals ?? []) {
      if (memory !== null) this.#parts.learned.keep(policy, memory);
    }
  }

  /** Resolves when nothing is being asked. */
  async settled(): Promise<void> {
    await Promise.all([this.#probing?.settled(), this.#command?.settled()]);
  }

  /** The last word: nothing is known from now on. */
  close(reason: string): void {
    this.remember();
    this.#signals = [];
    this.#judge = null;
    this.#setProbe(null);
    this.#absence = reason;
    this.#judgeNow();
  }

  #newJudge(): Judge {
    const judge = new Judge(this.#signals, SAMPLE_SECONDS, 'live');
    for (const signal of judge.signals) {
      const memory = this.#parts.learned.of(signal.policy, this.#parts.clock.nowMs());
      if (memory !== null) signal.restore(memory);
    }
    return judge;
  }

  #setProbe(probe: AgentProbe | null): void {
    const { clock, signal } = this.#parts;
    this.#probing?.end();
    this.#probe = probe;
    this.#setError(PROBE_SIGNAL, probe === null ? NO_PROBE : 'not probed yet');
    const ask = (asked: AgentProbe) => () => probeService(asked, clock, signal);
    const onResult = (result: ProbeResult): void => this.#probed(result);
    this.#probing = probe === null ? null : new Asking({ clock, atOnce: PROBES_AT_ONCE, ask: ask(probe), onResult });
  }

  #ask(name: string, asking: { tick(): number | null } | null): void {
    const waitedMs = asking?.tick() ?? null;
    if (waitedMs === null) return;
    const signal = this.#signal(name);
    if (waitedMs > (signal?.policy.objective?.below ?? WAITING_MS)) this.#add(signal, waitedMs);
  }

  #probed(result: ProbeResult): void {
    if (this.#parts.signal.aborted) return;
    this.#take(PROBE_SIGNAL, result, this.#probe?.url ?? 'the service');
  }

  #commanded(result: CommandResult): void {
    if (this.#parts.signal.aborted) return;
    this.#take(COMMAND_SIGNAL, result, 'the command');
    const { value } = result;
    if (value === null) this.#setError(COMMAND_VALUE, 'it printed no number', '1');
    else this.summaries.note(COMMAND_VALUE, { value, unit: '1' });
    this.#add(this.#signal(COMMAND_VALUE), value);
  }

  /**
   * What is known of a probe that was not served for lack of time or room is how long it would have taken at least. To leave
   * it out would make a service that serves nobody look like one of which nothing is known.
   */
  #take(name: string, result: ProbeResult, what: string): void {
    const isAnswer = result.kind === 'answer';
    if (isAnswer) this.summaries.note(name, { value: Math.round(result.milliseconds * 1000) / 1000, unit: 'ms' });
    else this.#setError(name, `${what}: ${result.reason}`);
    this.#add(this.#signal(name), isAnswer ? result.milliseconds : result.atLeastMs);
  }

  #setError(name: string, error: string, unit: 'ms' | '1' = 'ms'): void {
    this.summaries.note(name, { value: null, unit, error: error.slice(0, ERROR_CHARACTERS_MAX) });
  }

  #signal(name: string): SignalJudge | undefined {
    return this.#judge?.signals.find(({ policy }) => policy.name === name);
  }

  #add(signal: SignalJudge | undefined, value: number | null): void {
    signal?.add(this.#parts.clock.nowMs(), value);
  }

  /** Once a second: what was answered meanwhile waits for it. */
  #judgeNow(): void {
    const nowMs = this.#parts.clock.nowMs();
    const before = this.#judged;
    const now = this.#judgement(nowMs);
    const isVerdict = now.verdict !== before.verdict;
    this.#judged = { ...now, sinceMs: isVerdict ? nowMs : before.sinceMs };
    const isNews = now.lacksCapacity !== before.lacksCapacity || now.isOutside !== before.isOutside;
    if (isVerdict || isNews) this.#parts.onChange(this.standing, isVerdict);
  }

  #judgement(nowMs: number): typeof NOTHING {
    const judge = this.#judge;
    if (judge === null) return NOTHING;
    const verdict = judge.conditionAt(nowMs);
    const score = verdict === 'unknown' ? 0 : judge.score;
    return { verdict, score, lacksCapacity: judge.lacksCapacity, isOutside: judge.isOutside };
  }

  /** Why a signal that is judged has no value. */
  #missing(): AgentEvidence[] {
    return this.#signals.flatMap(({ name }) => {
      const reading = this.summaries.last(name);
      if (reading === undefined) return [fact(`${name} is not a signal of this agent`)];
      return reading.value === null ? [fact(`${name} has no value: ${reading.error ?? 'no reason given'}`)] : [];
    });
  }
}

function fact(text: string): Fact {
  return { text, values: {} };
}

/** Both are plain JSON, built in the same order of fields. */
function same(one: unknown, other: unknown): boolean {
  return JSON.stringify(one) === JSON.stringify(other);
}
