// Sizes and durations as people write them. Powers of 1024 for K, M, G, T with or without "iB"; powers of 1000 for KB, MB, GB, TB.
import { UnderstudyError } from './errors.ts';

const UNITS = ['', 'K', 'M', 'G', 'T', 'P'];

/**
 * Reads "4M", "4MiB", "500MB", "1048576".
 * @throws USAGE when the text is no size, or the size is not an exact positive integer of bytes.
 */
export function parseBytes(text: string): number {
  const match = /^([0-9]+)(?:\.([0-9]+))?\s*(?:([KMGTP])(i?B)?|B)?$/i.exec(text.trim());
  if (!match) throw new UnderstudyError('USAGE', `"${text}" is not a size; write for example 4M, 512KiB or 1000000`);
  const power = BigInt(UNITS.indexOf((match[3] ?? '').toUpperCase()));
  const base = match[4]?.toUpperCase() === 'B' ? 1000n : 1024n;
  // In decimal, not in floating point: 4.1 * 1000 is not 4100 there.
  const fraction = match[2] ?? '';
  const scaled = BigInt(`${match[1]}${fraction}`) * base ** power;
  const divisor = 10n ** BigInt(fraction.length);
  const bytes = Number(scaled / divisor);
  if (scaled % divisor !== 0n || !Number.isSafeInteger(bytes) || bytes <= 0) {
    throw new UnderstudyError('USAGE', `"${text}" is not a whole number of bytes above zero`);
  }
  return bytes;
}

const DURATION_UNITS_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/**
 * Reads "500ms", "10s", "1.5m", "4h" into milliseconds.
 * @throws USAGE when the text is no duration, or not a whole number of milliseconds.
 */
export function parseDuration(text: string): number {
  const match = /^([0-9]{1,9})(?:\.([0-9]{1,3}))?(ms|s|m|h)$/.exec(text.trim());
  if (!match) throw new UnderstudyError('USAGE', `"${text}" is not a duration; write for example 500ms, 10s, 5m or 4h`);
  const unitMs = DURATION_UNITS_MS[match[3] ?? ''] ?? 0;
  // In whole thousandths, not in floating point: 1.1 * 1000 is not 1100 there for every number.
  const thousandths = Number(match[1]) * 1000 + Number((match[2] ?? '').padEnd(3, '0'));
  const ms = (thousandths * unitMs) / 1000;
  if (!Number.isSafeInteger(ms)) {
    throw new UnderstudyError('USAGE', `"${text}" is not a whole number of milliseconds`);
  }
  return ms;
}

/** "1.5 GiB"; three significant digits, for people. */
export function formatBytes(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (Math.round(value) >= 1024 && unit < UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  const digits = unit === 0 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
  return `${value.toFixed(digits)} ${unit === 0 ? 'B' : `${UNITS[unit]}iB`}`;
}

/** "4.2s", "3m05s", "2h10m"; for people. */
export function formatDuration(seconds: number): string {
  if (seconds < 59.95) return `${seconds.toFixed(1)}s`;
  const whole = Math.round(seconds);
  if (whole < 3600) return `${Math.floor(whole / 60)}m${String(whole % 60).padStart(2, '0')}s`;
  return `${Math.floor(whole / 3600)}h${String(Math.floor((whole % 3600) / 60)).padStart(2, '0')}m`;
}
