// What a terminal of a given size shows of a copy: pure, from numbers to lines. No line is wider than the terminal and there are no
// more lines than it has rows, whatever targets are called and however many there are.
import { eastAsianWidth } from 'get-east-asian-width';
import { formatBytes, formatDuration, shown } from '../base/mod.ts';

/** One line before it is fitted: what stays to the last comes first in `numbers`. */
export interface Row {
  readonly name: string;
  /** 0 to 1; null while the length of the source is not known. */
  readonly share: number | null;
  readonly bytesPerSecond: number | null;
  readonly secondsLeft: number | null;
  readonly state: string;
}

export interface TargetRow extends Row {
  readonly failed: boolean;
  readonly done: boolean;
}

export interface Size {
  readonly columns: number;
  readonly rows: number;
}

const BAR_CELLS = 20;
/** Fewer columns than this say nothing of a name; the bar, then the state, make room for it. */
const NAME_COLUMNS_MIN = 12;
const ELLIPSIS = '…';

/**
 * The lines to draw: one a target where there is room; otherwise one for all together, and below it the targets that matter most:
 * those that failed, then those that have most left.
 */
export function layout(targets: readonly TargetRow[], total: Row, { columns, rows }: Size): string[] {
  // The last column stays free, because some terminals go to the next line with it, and the last row has the cursor.
  const width = Math.max(1, columns - 1);
  const room = Math.max(1, rows - 1);
  if (targets.length <= room) return targets.map((target) => lineOf(target, width));
  const first = lineOf(total, width);
  const shownRows = [...targets].sort(byImportance).slice(0, room - 1);
  return [first, ...targets.filter((target) => shownRows.includes(target)).map((target) => lineOf(target, width))];
}

function byImportance(a: TargetRow, b: TargetRow): number {
  if (a.failed !== b.failed) return a.failed ? -1 : 1;
  if (a.done !== b.done) return a.done ? 1 : -1;
  return (a.share ?? 0) - (b.share ?? 0);
}

/**
 * One row in at most `width` columns. Percent, rate and time left are always in it, as far as they are known; the name is shortened
 * in its middle; then the bar goes, then the state, and last the spaces within the numbers.
 */
export function lineOf(row: Row, width: number): string {
  const name = shown(row.name);
  const bar = row.share === null ? `[${'?'.repeat(BAR_CELLS)}]` : barOf(row.share);
  const numbers = numbersOf(row);
  // Where nothing is known there is no number, and the bar's place is kept free, so that lines stand below each other.
  const full =
    row.share === null
      ? [`${bar}     `, ...numbers, row.state]
      : [`${bar}  ${numbers[0]}`, ...numbers.slice(1), row.state];
  const tails = [full, [...numbers.map((text) => text.trim()), row.state], numbers.map((text) => text.trim())];
  for (const parts of tails) {
    const tail = parts.filter((part) => part !== '').join('  ');
    const left = width - widthOf(tail) - 2;
    if (left >= Math.min(NAME_COLUMNS_MIN, widthOf(name))) return `${shorten(name, left)}  ${tail}`;
  }
  const compact = numbers.map(withoutSpaces).join(' ');
  const left = width - widthOf(compact) - 1;
  return left > 1 ? `${shorten(name, left)} ${compact}` : cut(compact === '' ? name : compact, width);
}

function barOf(share: number): string {
  const cells = Math.round(share * BAR_CELLS);
  return `[${'#'.repeat(cells)}${'.'.repeat(BAR_CELLS - cells)}]`;
}

function numbersOf({ share, bytesPerSecond, secondsLeft }: Row): string[] {
  return [
    ...(share === null ? [] : [`${String(Math.floor(share * 100)).padStart(3)} %`]),
    ...(bytesPerSecond === null ? [] : [`${formatBytes(bytesPerSecond)}/s`]),
    ...(secondsLeft === null ? [] : [`${formatDuration(secondsLeft)} left`]),
  ];
}

/** " 41 %", "118 MiB/s", "4.0s left" as "41%", "118M/s", "4.0s". */
function withoutSpaces(text: string): string {
  return text
    .replace(' left', '')
    .replace(/iB\/s$/, '/s')
    .replaceAll(' ', '');
}

/** The start and the end of a text with an ellipsis between, in at most `width` columns. */
export function shorten(text: string, width: number): string {
  if (widthOf(text) <= width) return text;
  if (width < 1) return '';
  const clusters = clustersOf(text);
  const head = cut(text, Math.ceil((width - 1) / 2));
  let tail = '';
  let left = width - 1 - widthOf(head);
  for (const cluster of clusters.reverse()) {
    left -= clusterWidth(cluster);
    if (left < 0) break;
    tail = cluster + tail;
  }
  return `${head}${ELLIPSIS}${tail}`;
}

function cut(text: string, width: number): string {
  let left = width;
  let kept = '';
  for (const cluster of clustersOf(text)) {
    left -= clusterWidth(cluster);
    if (left < 0) break;
    kept += cluster;
  }
  return kept;
}

/** Columns that a terminal gives a text without control characters. */
export function widthOf(text: string): number {
  if (/^[\x20-\x7e]*$/.test(text)) return text.length;
  return clustersOf(text).reduce((sum, cluster) => sum + clusterWidth(cluster), 0);
}

let segmenter: Intl.Segmenter | null = null;

/** What a reader takes for one character (Unicode Standard Annex 29): a letter with its marks, an emoji with all its parts. */
function clustersOf(text: string): string[] {
  segmenter ??= new Intl.Segmenter('en', { granularity: 'grapheme' });
  return Array.from(segmenter.segment(text), ({ segment }) => segment);
}

/**
 * Terminals differ on emoji of several code points: some give each part its own columns. Counted is the most that one could take, so
 * that a line is at worst shorter than it might be.
 */
function clusterWidth(cluster: string): number {
  let width = 0;
  for (const character of cluster) {
    if (/[\p{Mn}\p{Me}\u200c\u200d]/u.test(character)) {
      // The selector makes a symbol an emoji, which is wide.
      if (character === '\ufe0f' && width === 1) width = 2;
      continue;
    }
    width += eastAsianWidth(character.codePointAt(0) ?? 0);
  }
  return width;
}
