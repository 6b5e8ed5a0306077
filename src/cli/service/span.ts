// Spans of time as people write them on the command line: those of quantity.ts, and days.
import { parseDuration, UnderstudyError } from '../../base/mod.ts';

const DAY_MS = 86_400_000;
/** A year: longer than that, what is meant is for ever. */
const SECONDS_MAX = 31_536_000;

/** Milliseconds of "90d", "12h", "30m". @throws USAGE */
export function parseSpan(text: string): number {
  const days = /^([0-9]{1,5})d$/.exec(text.trim())?.[1];
  if (days !== undefined) return Number(days) * DAY_MS;
  try {
    return parseDuration(text);
  } catch (cause) {
    throw new UnderstudyError('USAGE', `"${text}" is not a time; write for example 90d, 12h or 30m`, { cause });
  }
}

/** Milliseconds since 1970 of "2h" (so long ago) or an ISO 8601 time. @throws USAGE */
export function parseSince(text: string, nowMs: number): number {
  const time = /^\d{4}-\d{2}-\d{2}/.test(text) ? Date.parse(text) : Number.NaN;
  return Number.isFinite(time) ? time : nowMs - parseSpan(text);
}

/** Whole seconds of "2h", at least so many. @throws USAGE */
export function parseSeconds(text: string, least: number): number {
  const seconds = Math.ceil(parseSpan(text) / 1000);
  if (seconds >= least && seconds <= SECONDS_MAX) return seconds;
  throw new UnderstudyError('USAGE', `"${text}" is not a time from ${least}s to 365d`);
}
