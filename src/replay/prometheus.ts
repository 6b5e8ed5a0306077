// The answer to a range query of Prometheus (HTTP API, "query_range": a matrix), as a recording.
import { UnderstudyError } from '../base/mod.ts';
import type { Recording } from './contract.ts';

interface Series {
  readonly metric?: Readonly<Record<string, string>>;
  readonly values?: readonly (readonly [number, string])[];
}

/** A column for each series, by the name of its metric, "value" when it has none. @throws USAGE */
export function parsePrometheus(text: string, name: string): Recording {
  const series = seriesOf(text, name);
  const times = [...new Set(series.flatMap(({ values = [] }) => values.map(([seconds]) => seconds)))].sort(
    (a, b) => a - b,
  );
  const places = new Map(times.map((seconds, index) => [seconds, index]));
  const columns = new Map<string, Float64Array>();
  for (const { metric = {}, values = [] } of series) {
    const column = new Float64Array(times.length).fill(Number.NaN);
    for (const [seconds, value] of values) column[places.get(seconds) ?? 0] = Number(value);
    columns.set(nameOf(metric, columns), column);
  }
  return { timesMs: Float64Array.from(times, (seconds) => seconds * 1000), columns };
}

function seriesOf(text: string, name: string): readonly Series[] {
  try {
    const answer = JSON.parse(text) as { data?: { resultType?: unknown; result?: unknown } };
    const { resultType, result } = answer.data ?? {};
    if (resultType === 'matrix' && Array.isArray(result) && result.length > 0) return result as readonly Series[];
  } catch {
    // What is no JSON is no such answer either.
  }
  throw new UnderstudyError(
    'USAGE',
    `${name} does not answer with a range of samples; ask /api/v1/query_range with start, end and step`,
  );
}

function nameOf(metric: Readonly<Record<string, string>>, taken: ReadonlyMap<string, unknown>): string {
  const own = metric.__name__ ?? 'value';
  return taken.has(own) ? `${own}${taken.size + 1}` : own;
}
