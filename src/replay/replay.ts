// What would have happened: recorded samples through detection, and the policy that the controller runs.
import { assert, UnderstudyError } from '../base/mod.ts';
import { Judge } from '../detection/mod.ts';
import type { LabelWindow, Policy, Recording, Replay, ReplayEvent, ReplayVerdict } from './contract.ts';
import { Installation } from './installation.ts';
import { scoreLabels } from './labels.ts';

const INTERVALS_LOOKED_AT = 1000;

/** @throws USAGE when the recording has no column for a signal, or fewer than two samples */
export function replay(policy: Policy, given: Recording, labels: readonly LabelWindow[] | null): Replay {
  const recording = inOrder(given);
  const { timesMs } = recording;
  const intervalSeconds = intervalOf(timesMs);
  const judge = new Judge(policy.signals, intervalSeconds, 'recorded');
  const columns = policy.signals.map(({ name }) => columnOf(recording, name, policy.signals.length === 1));
  const first = Math.max(
    0,
    policy.signals.findIndex(({ outside }) => !outside),
  );
  const [signal, column] = [judge.signals[first], columns[first]];
  assert(signal !== undefined && column !== undefined, 'a policy has signals');
  const values = policy.load === null ? column : columnOf(recording, policy.load, false);
  const installation = new Installation(policy, { timesMs, values }, { ...signal.windows, intervalSeconds });
  const run = new Run(judge, columns, installation);
  for (let index = 0; index < timesMs.length; index += 1) run.pass(timesMs[index] ?? 0, index);
  const { events } = run;
  const score = labels === null ? null : scoreLabels(labels, events, timesMs.at(-1) ?? 0);
  return { events, scaling: installation.scaling, labels: score };
}

class Run {
  readonly events: ReplayEvent[] = [];
  readonly #judge: Judge;
  readonly #columns: readonly Float64Array[];
  readonly #installation: Installation;
  #verdict: ReplayVerdict | null = null;
  #lastMs = Number.NEGATIVE_INFINITY;

  constructor(judge: Judge, columns: readonly Float64Array[], installation: Installation) {
    this.#judge = judge;
    this.#columns = columns;
    this.#installation = installation;
  }

  pass(atMs: number, index: number): void {
    const judge = this.#judge;
    if (this.#verdict !== null && atMs > judge.silentFromMs) this.#silence(atMs, index - 1);
    this.#lastMs = atMs;
    judge.add(atMs, (column) => this.#columns[column]?.[index] ?? Number.NaN);
    const verdict = judge.conditionAt(atMs);
    if (verdict !== this.#verdict) this.#becomes(verdict, atMs);
    this.#installation.pass({ atMs, index, verdict, judge });
  }

  /** Nothing came for too long before the next sample: that was unknown from some moment on. */
  #silence(atMs: number, index: number): void {
    const fromMs = Math.max(this.#lastMs, this.#judge.silentFromMs);
    if (fromMs >= atMs || this.#verdict === 'unknown') return;
    this.#judge.conditionAt(fromMs + 1);
    this.#becomes('unknown', fromMs);
    this.#installation.pass({ atMs: fromMs, index, verdict: 'unknown', judge: this.#judge });
  }

  #becomes(verdict: ReplayVerdict, atMs: number): void {
    this.#verdict = verdict;
    const score = verdict === 'unknown' ? 0 : this.#judge.score;
    const evidence = this.#judge.facts().map(({ text }) => text);
    this.events.push({ at: new Date(atMs).toISOString(), verdict, score, evidence });
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
