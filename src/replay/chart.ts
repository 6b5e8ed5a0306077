// A recording in the width of a terminal: its values as blocks, and below them what the verdict was.
import { assert } from '../base/mod.ts';
import type { Recording, Replay, ReplayVerdict } from './contract.ts';
import { boundsOf } from './recording.ts';

const BLOCKS = '▁▂▃▄▅▆▇█';
const MARKS: Readonly<Record<ReplayVerdict, string>> = { healthy: '·', degraded: '▲', failing: '█', unknown: ' ' };
const ORDER: readonly ReplayVerdict[] = ['failing', 'degraded', 'healthy', 'unknown'];

/** Three lines, each of `width` characters at most, for the first column. */
export function chartOf({ timesMs, columns }: Recording, { events, scaling }: Replay, width: number): string {
  const [values] = [...columns.values()];
  assert(values !== undefined && width > 0, 'a chart needs values and a width');
  const [fromMs, toMs] = boundsOf({ timesMs });
  const place = (atMs: number): number =>
    Math.min(width - 1, Math.floor(((atMs - fromMs) / (toMs - fromMs || 1)) * width));
  const highest = new Float64Array(width).fill(Number.NEGATIVE_INFINITY);
  for (let index = 0; index < timesMs.length; index += 1) {
    const at = place(timesMs[index] ?? 0);
    const value = values[index] ?? Number.NaN;
    if (Number.isFinite(value) && value > (highest[at] ?? 0)) highest[at] = value;
  }
  const seen = [...highest].filter((value) => Number.isFinite(value));
  const [low, high] = [Math.min(...seen), Math.max(...seen)];
  const block = (value: number): string => {
    if (!Number.isFinite(value)) return ' ';
    return BLOCKS[Math.round(((value - low) / (high - low || 1)) * (BLOCKS.length - 1))] ?? ' ';
  };
  const verdicts = Array.from({ length: width }, (): ReplayVerdict => 'unknown');
  for (const [index, { at, verdict }] of events.entries()) {
    const endMs = Date.parse(events[index + 1]?.at ?? '') || toMs;
    for (let column = place(Date.parse(at)); column <= place(endMs); column += 1) {
      if (ORDER.indexOf(verdict) < ORDER.indexOf(verdicts[column] ?? 'unknown')) verdicts[column] = verdict;
    }
  }
  const steps = Array.from({ length: width }, () => ' ');
  for (const { at, action } of scaling) steps[place(Date.parse(at))] = action === 'scale-out' ? '+' : '-';
  const lines = [[...highest].map(block), verdicts.map((verdict) => MARKS[verdict]), steps];
  return lines.map((line) => line.join('').trimEnd()).join('\n');
}
