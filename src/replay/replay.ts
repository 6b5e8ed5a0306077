// What would have happened: recorded samples through the detection and the policy that the agent and the controller run.
import { assert, UnderstudyError } from '../base/mod.ts';
import type { PolicyVerdict } from '../policy/mod.ts';
import type { LabelWindow, Policy, Recording, Replay, ReplayEvent, ReplayVerdict } from './contract.ts';
import { Installation } from './installation.ts';
import { scoreLabels } from './labels.ts';
import { SignalJudge, worst } from './signal-judge.ts';

const INTERVALS_LOOKED_AT = 1000;

interface Column {
  readonly judge: SignalJudge;
  readonly values: Float64Array;
}

/** @throws USAGE when the recording has no column for a signal, or fewer than two samples */
export function replay(policy: Policy, given: Recording, labels: readonly LabelWindow[] | null): Replay {
  const recording = inOrder(given);
  const { timesMs } = recording;
  const intervalSeconds = intervalOf(timesMs);
  const columns = policy.signals.map((signal) => ({
    judge: new SignalJudge(signal, intervalSeconds),
    values: columnOf(recording, signal.name, policy.signals.length === 1),
  }));
  const inside = columns.find(({ judge }) => !judge.policy.outside) ?? columns[0];
  assert(inside !== undefined, 'a policy has signals');
  const values = policy.load === null ? inside.values : columnOf(recording, policy.load, false);
  const { fastSeconds, slowSeconds } = inside.judge;
  const windows = { fastSeconds, slowSeconds, intervalSeconds };
  const run = new Run(columns, new Installation(policy, { timesMs, values }, windows));
  for (let index = 0; index < timesMs.length; index += 1) run.pass(timesMs[index] ?? 0, index);
  const { events, scaling } = run;
  const lastMs = timesMs.at(-1) ?? 0;
  return { events, scaling, labels: labels === null ? null : scoreLabels(labels, events, lastMs) };
}

class Run {
  readonly events: ReplayEvent[] = [];
  readonly #columns: readonly Column[];
  readonly #installation: Installation;
  #verdict: ReplayVerdict | null = null;
  #lastMs = Number.NEGATIVE_INFINITY;
  #silentFromMs = Number.POSITIVE_INFINITY;

  constructor(columns: readonly Column[], installation: Installation) {
    this.#columns = columns;
    this.#installation = installation;
  }

  get scaling() {
    return this.#installation.scaling;
  }

  pass(atMs: number, index: number): void {
    if (this.#verdict !== null && atMs > this.#silentFromMs) this.#silence(atMs, index - 1);
    this.#lastMs = atMs;
    this.#silentFromMs = Number.POSITIVE_INFINITY;
    for (const { judge, values } of this.#columns) {
      judge.add(atMs, values[index] ?? Number.NaN);
      this.#silentFromMs = Math.min(this.#silentFromMs, judge.silentFromMs);
    }
    const verdict = this.#worst(atMs);
    if (verdict !== this.#verdict) this.#becomes(verdict, atMs);
    this.#installation.pass({
      atMs,
      index,
      verdict: this.#forPolicy(verdict),
      evidence: () => this.#evidence(verdict, atMs),
      outside: this.#outside(),
    });
  }

  /** What another host would not mend is nothing that policy has to know. */
  #forPolicy(verdict: ReplayVerdict): PolicyVerdict {
    if (verdict !== 'degraded' && verdict !== 'failing') return verdict;
    return this.#columns.some(({ judge }) => judge.wantsCapacity) ? 'degraded' : 'unknown';
  }

  /** Nothing came for too long before the next sample: that was unknown from some moment on. */
  #silence(atMs: number, index: number): void {
    const fromMs = Math.max(this.#lastMs, this.#silentFromMs);
    if (fromMs >= atMs || this.#verdict === 'unknown') return;
    this.#becomes('unknown', fromMs);
    this.#installation.pass({ atMs: fromMs, index, verdict: 'unknown', evidence: () => [], outside: null });
  }

  #worst(atMs: number): ReplayVerdict {
    const verdicts = this.#columns.map(({ judge }) => (atMs > judge.silentFromMs ? 'unknown' : judge.verdict));
    return worst.find((verdict) => verdicts.includes(verdict)) ?? 'unknown';
  }

  #becomes(verdict: ReplayVerdict, atMs: number): void {
    this.#verdict = verdict;
    const score = verdict === 'unknown' ? 0 : Math.max(...this.#columns.map(({ judge }) => judge.score));
    this.events.push({
      at: new Date(atMs).toISOString(),
      verdict,
      score: Number(score.toPrecision(4)),
      evidence: this.#evidence(verdict, atMs),
    });
  }

  #evidence(verdict: ReplayVerdict, atMs: number): readonly string[] {
    const deciding = this.#columns.filter(({ judge }) => judge.verdict === verdict && atMs < judge.silentFromMs);
    if (deciding.length > 0) return deciding.flatMap(({ judge }) => judge.evidence());
    const silent = this.#columns
      .filter(({ judge }) => atMs >= judge.silentFromMs)
      .map(({ judge }) => judge.policy.name);
    return [`no sample of ${silent.join(' and ')} for too long`];
  }

  #outside(): string | null {
    const guilty = this.#columns.find(
      ({ judge }) => judge.policy.outside && ['degraded', 'failing'].includes(judge.verdict),
    );
    return guilty?.judge.evidence()[0] ?? null;
  }
}

function columnOf({ columns }: Recording, name: string, isOnly: boolean): Float64Array {
  const column = columns.get(name) ?? (isOnly && columns.size === 1 ? [...columns.values()][0] : undefined);
  if (column !== undefined) return column;
  throw new UnderstudyError('USAGE', `the recording has no "${name}"; it has ${[...columns.keys()].join(', ')}`);
}

/** A file that was put together of several need not be sorted. */
function inOrder(recording: Recording): Recording {
  const { timesMs, columns } = recording;
  let sorted = true;
  for (let index = 1; index < timesMs.length && sorted; index += 1) {
    sorted = (timesMs[index] ?? 0) >= (timesMs[index - 1] ?? 0);
  }
  if (sorted) return recording;
  const order = Uint32Array.from(timesMs, (_, index) => index);
  order.sort((a, b) => (timesMs[a] ?? 0) - (timesMs[b] ?? 0) || a - b);
  const moved = (values: Float64Array): Float64Array =>
    Float64Array.from(order, (index) => values[index] ?? Number.NaN);
  return { timesMs: moved(timesMs), columns: new Map([...columns].map(([name, values]) => [name, moved(values)])) };
}

/** The usual one: the median of the first ones that are none of a moment. @throws USAGE */
function intervalOf(timesMs: Float64Array): number {
  const gaps: number[] = [];
  for (let index = 1; index < timesMs.length && gaps.length < INTERVALS_LOOKED_AT; index += 1) {
    const gap = (timesMs[index] ?? 0) - (timesMs[index - 1] ?? 0);
    if (gap > 0) gaps.push(gap);
  }
  if (gaps.length === 0) throw new UnderstudyError('USAGE', 'the recording has fewer than two samples');
  return (gaps.sort((a, b) => a - b)[Math.floor(gaps.length / 2)] ?? 1000) / 1000;
}
