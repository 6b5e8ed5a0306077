// Times at which something was wrong, as people have noted them: CSV of times, or of starts and ends; JSON lists of the same.
import { UnderstudyError } from '../base/mod.ts';
import type { LabelScore, LabelWindow, ReplayEvent } from './contract.ts';
import { timeOf } from './recording.ts';

/** A label that is one moment counts for so long around it, as a share of the recording. */
const MOMENT_SHARE = 0.01;

/**
 * @param fromMs start of the recording
 * @throws USAGE
 */
export function parseLabels(text: string, name: string, fromMs: number, toMs: number): readonly LabelWindow[] {
  const marginMs = ((toMs - fromMs) * MOMENT_SHARE) / 2;
  const rows = /^\s*[[{]/.test(text) ? rowsOfJson(text, name) : rowsOfCsv(text);
  return rows.map(([from, to], index) => {
    const [startMs, endMs] = [timeOf(from), to === undefined ? timeOf(from) : timeOf(to)];
    if (!Number.isFinite(startMs) || !Number.isFinite(endMs) || endMs < startMs) {
      throw new UnderstudyError(
        'USAGE',
        `${name}: label ${index + 1} is neither a time nor a start and an end: ${from} ${to ?? ''}`,
      );
    }
    return to === undefined ? { fromMs: startMs - marginMs, toMs: endMs + marginMs } : { fromMs: startMs, toMs: endMs };
  });
}

type Row = readonly [string, string?];

function rowsOfCsv(text: string): Row[] {
  const lines = text.split(/\r?\n/).filter((line) => line.trim() !== '');
  const rows = lines.map((line): Row => {
    const [from = '', to] = line.split(',').map((cell) => cell.trim());
    return to === undefined || to === '' ? [from] : [from, to];
  });
  // A head is no time.
  return Number.isFinite(timeOf(rows[0]?.[0] ?? '')) ? rows : rows.slice(1);
}

/** ["time"], [["start", "end"]], [{"start", "end"}], or an object with one such list. */
function rowsOfJson(text: string, name: string): Row[] {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new UnderstudyError('USAGE', `${name} is no JSON`);
  }
  const lists = Array.isArray(value) ? [value] : Object.values(value as object).filter((one) => Array.isArray(one));
  const [list] = lists;
  if (lists.length !== 1 || list === undefined) {
    throw new UnderstudyError('USAGE', `${name} has ${lists.length} lists of labels, where one is expected`);
  }
  return (list as unknown[]).map((one): Row => {
    if (Array.isArray(one)) return [String(one[0]), one[1] === undefined ? undefined : String(one[1])];
    if (typeof one !== 'object' || one === null) return [String(one)];
    const { start, from, at, timestamp, end, to } = one as Record<string, unknown>;
    const last = end ?? to;
    return [String(start ?? from ?? at ?? timestamp), last === undefined ? undefined : String(last)];
  });
}

/** @param toMs end of the recording, where the last verdict ends */
export function scoreLabels(labels: readonly LabelWindow[], events: readonly ReplayEvent[], toMs: number): LabelScore {
  const spells = spellsOf(events, toMs);
  const delays = labels.flatMap(({ fromMs, toMs: endMs }) => {
    const first = spells.find((spell) => spell.fromMs <= endMs && spell.toMs >= fromMs);
    return first === undefined ? [] : [Math.max(0, first.fromMs - fromMs) / 1000];
  });
  const outside = spells.filter(({ fromMs }) => !labels.some((one) => fromMs >= one.fromMs && fromMs <= one.toMs));
  const sorted = delays.sort((a, b) => a - b);
  const medianDelaySeconds = sorted[Math.floor((sorted.length - 1) / 2)] ?? null;
  return { found: delays.length, missed: labels.length - delays.length, false: outside.length, medianDelaySeconds };
}

/** From the moment at which it is degraded or failing until it is neither. */
function spellsOf(events: readonly ReplayEvent[], endMs: number): readonly LabelWindow[] {
  const spells: LabelWindow[] = [];
  let fromMs: number | null = null;
  for (const { at, verdict } of events) {
    const isBad = verdict === 'degraded' || verdict === 'failing';
    if (isBad) fromMs ??= Date.parse(at);
    else if (fromMs !== null) {
      spells.push({ fromMs, toMs: Date.parse(at) });
      fromMs = null;
    }
  }
  return fromMs === null ? spells : [...spells, { fromMs, toMs: endMs }];
}
