// What a finding says to people and to programs.
import type { Evidence, Objective, WindowValues } from './contract.ts';
import type { Trace } from './trace.ts';

/** Four digits are enough for anybody who reads. */
export function shown(value: number): string {
  return String(Number(value.toPrecision(4)));
}

/** Rounded down, so that what does not suffice does not look as if it did. */
export function percent(share: number): string {
  return `${Math.floor(share * 100)} %`;
}

/** By nearest rank. @param sorted lowest first */
function percentile(sorted: readonly number[], rank: number): number | null {
  return sorted[Math.ceil(rank * sorted.length) - 1] ?? null;
}

function textOf(objective: Objective, values: WindowValues): string {
  const { samples, breaching, seconds, coverage, median, p95 } = values;
  const span = `the last ${shown(seconds)} s`;
  if (median === null || p95 === null) return `no sample of ${objective.signal} in ${span}`;
  const middle = `median ${shown(median)}, 95th percentile ${shown(p95)}`;
  const observed = coverage < 1 ? `, ${percent(coverage)} of the time observed` : '';
  const above = `above ${shown(objective.below)} in ${breaching} of ${samples} samples`;
  return `${objective.signal} ${above} of ${span} (${middle}${observed})`;
}

export function evidenceOf(objective: Objective, window: 'fast' | 'slow', trace: Trace, endMs: number): Evidence {
  const seconds = window === 'fast' ? objective.fastSeconds : objective.slowSeconds;
  const lengthMs = Math.round(seconds * 1000);
  const { samples, breaching, share, coverage } = trace.window(endMs, lengthMs);
  const sorted = trace.valuesOf(endMs, lengthMs);
  const values: WindowValues = {
    window,
    seconds,
    samples,
    breaching,
    share: samples === 0 ? null : share,
    shareMax: objective.share,
    median: percentile(sorted, 0.5),
    p95: percentile(sorted, 0.95),
    threshold: objective.below,
    coverage,
  };
  return { text: textOf(objective, values), values };
}
