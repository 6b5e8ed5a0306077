// Recorded samples from CSV (RFC 4180, without quotes): a column of times and one for each signal. Times are ISO 8601, with a space or a T, UTC when
// they say nothing else, or seconds or milliseconds since 1970.
import { UnderstudyError } from '../base/mod.ts';
import type { Recording } from './contract.ts';

const COLUMNS_MAX = 100;
/** Seconds since 1970 reach this in the year 5138; milliseconds passed it in 1973. */
const SECONDS_MAX = 1e11;
const NEWLINE = 10;
const [RETURN, COMMA, MINUS, POINT, ZERO] = [13, 44, 45, 46, 48];
/** Whole numbers of so many digits, and so many decimals of them, are divided without error. */
const DIGITS_MAX = 15;

/** @throws USAGE when it is no such file, with the line */
export function parseRecording(bytes: Buffer, name: string): Recording {
  const lines = countLines(bytes);
  const reader = new LineReader(bytes);
  const first = reader.next();
  if (first === null) throw wrong(name, 1, 'it is empty');
  const heads = first.split(',').map((head) => head.trim().replace(/^"(.*)"$/, '$1'));
  const hasHead = !Number.isFinite(timeOf(heads[0] ?? ''));
  const names = hasHead
    ? heads.slice(1)
    : heads.slice(1).map((_, index) => (index === 0 ? 'value' : `value${index + 1}`));
  if (names.length === 0 || names.length > COLUMNS_MAX) {
    throw wrong(name, 1, `a time and 1 to ${COLUMNS_MAX} values are expected: "timestamp,value"`);
  }
  if (new Set(names).size < names.length) throw wrong(name, 1, 'two columns have one name');
  const timesMs = new Float64Array(lines);
  const columns = names.map(() => new Float64Array(lines));
  let count = 0;
  const take = (cells: readonly string[]): void => {
    const atMs = timeOf(cells[0] ?? '');
    if (!Number.isFinite(atMs)) throw wrong(name, reader.line, `"${(cells[0] ?? '').slice(0, 40)}" is no time`);
    timesMs[count] = atMs;
    for (const [index, column] of columns.entries()) column[count] = numberOf(cells[index + 1]);
    count += 1;
  };
  if (!hasHead) take(first.split(','));
  for (;;) {
    // Most lines are two plain numbers: they are read where they lie, since a million texts would be most of the work.
    if (names.length === 1 && reader.plainPair()) {
      const [seconds, value] = reader.pair;
      timesMs[count] = Math.abs(seconds) < SECONDS_MAX ? seconds * 1000 : seconds;
      (columns[0] ?? timesMs)[count] = value;
      count += 1;
      continue;
    }
    const line = reader.next();
    if (line === null) break;
    if (line !== '') take(line.split(','));
  }
  return {
    timesMs: timesMs.subarray(0, count),
    columns: new Map(names.map((one, index) => [one, (columns[index] ?? timesMs).subarray(0, count)])),
  };
}

/** Milliseconds since 1970; NaN for what is no time. */
export function timeOf(text: string): number {
  const trimmed = text.trim();
  if (/^-?\d+(\.\d+)?$/.test(trimmed)) {
    const number = Number(trimmed);
    return Math.abs(number) < SECONDS_MAX ? number * 1000 : number;
  }
  const match = /^(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d(?:\.\d+)?)?)\s?(Z|[+-]\d\d:?\d\d)?)?$/.exec(trimmed);
  return match === null ? Number.NaN : Date.parse(`${match[1]}T${match[2] ?? '00:00'}${match[3] ?? 'Z'}`);
}

/** What is no number was not measured. */
function numberOf(cell: string | undefined): number {
  return cell === undefined || cell.trim() === '' ? Number.NaN : Number(cell);
}

function countLines(bytes: Buffer): number {
  let lines = 1;
  for (let at = bytes.indexOf(NEWLINE); at !== -1; at = bytes.indexOf(NEWLINE, at + 1)) lines += 1;
  return lines;
}

/** One line after the other, so that the whole text never lies in memory twice. */
class LineReader {
  line = 0;
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    const hasMark = bytes.length >= 3 && bytes.readUIntBE(0, 3) === 0xefbbbf;
    this.#bytes = hasMark ? bytes.subarray(3) : bytes;
  }

  /** Of the line that `plainPair` has read. */
  readonly pair: [number, number] = [0, 0];

  /** Reads a line of two numbers without exponents that are exact as they are; false: it is none, and `next` gives it. */
  plainPair(): boolean {
    const comma = this.#number(this.#at, 0);
    if (comma === -1 || this.#bytes[comma] !== COMMA) return false;
    let end = this.#number(comma + 1, 1);
    if (end === -1) return false;
    if (this.#bytes[end] === RETURN) end += 1;
    if (end < this.#bytes.length && this.#bytes[end] !== NEWLINE) return false;
    this.#at = end + 1;
    this.line += 1;
    return true;
  }

  /** Where the number that begins here ends; -1: it is no plain one. */
  #number(from: number, place: 0 | 1): number {
    const bytes = this.#bytes;
    let at = from;
    const isNegative = bytes[at] === MINUS;
    if (isNegative) at += 1;
    let [digits, whole, decimals, point] = [0, 0, 0, false];
    for (; at < bytes.length; at += 1) {
      const byte = bytes[at] ?? 0;
      if (byte === POINT && !point) point = true;
      else if (byte >= ZERO && byte <= ZERO + 9) {
        whole = whole * 10 + byte - ZERO;
        digits += 1;
        if (point) decimals += 1;
      } else break;
    }
    if (digits === 0 || digits > DIGITS_MAX) return -1;
    const size = whole / 10 ** decimals;
    this.pair[place] = isNegative ? -size : size;
    return at;
  }

  next(): string | null {
    if (this.#at >= this.#bytes.length) return null;
    const end = this.#bytes.indexOf(NEWLINE, this.#at);
    const to = end === -1 ? this.#bytes.length : end;
    const line = this.#bytes.toString('latin1', this.#at, to);
    this.#at = to + 1;
    this.line += 1;
    return line.endsWith('\r') ? line.slice(0, -1) : line;
  }
}

function wrong(name: string, line: number, why: string): UnderstudyError {
  return new UnderstudyError('USAGE', `${name}, line ${line}: ${why}`);
}

/** Times of the first and of the last sample. */
export function boundsOf({ timesMs }: Pick<Recording, 'timesMs'>): readonly [number, number] {
  let [from, to] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const atMs of timesMs) {
    from = Math.min(from, atMs);
    to = Math.max(to, atMs);
  }
  return [from, to];
}
