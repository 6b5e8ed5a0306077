// How the copy demo shows itself: one line per copy that is drawn over and over on a terminal, and a few lines otherwise.
import { formatDuration } from '../src/base/mod.ts';

export interface CopyLine {
  readonly name: string;
  /** Where on the disk it began, 0 to 1; null before it has begun. */
  readonly startShare: number | null;
  /** How much of what it wants it has, 0 to 1. */
  readonly doneShare: number;
  readonly state: string;
}

const BAR_CELLS = 40;
const PLAIN_INTERVAL_MS = 4000;

/**
 * The disk from its first to its last block, with what the copy has. A copy that joined late begins in the middle, goes on
 * to the end and comes round from the left.
 */
export function diskBar(startShare: number, doneShare: number, cells = BAR_CELLS): string {
  const first = Math.min(cells - 1, Math.floor(startShare * cells));
  const filled = doneShare >= 1 ? cells : Math.floor(doneShare * cells);
  return Array.from({ length: cells }, (_, cell) => ((cell - first + cells) % cells < filled ? '█' : '░')).join('');
}

function lineOf({ name, startShare, doneShare, state }: CopyLine): string {
  const bar = startShare === null ? ' '.repeat(BAR_CELLS) : diskBar(startShare, doneShare);
  const share = startShare === null ? '' : `${Math.floor(doneShare * 100)} %`;
  return `  ${name}  ${bar} ${share.padStart(5)}  ${state}`;
}

function plainLineOf(seconds: number, lines: readonly CopyLine[]): string {
  const parts = lines
    .filter(({ startShare }) => startShare !== null)
    .map(({ name, doneShare }) => `${name} ${Math.floor(doneShare * 100)} %`);
  return `  ${formatDuration(seconds).padStart(6)}  ${parts.join(', ')}`;
}

/** Draws on a terminal; elsewhere writes a line now and then. */
export class Screen {
  readonly #output: NodeJS.WriteStream;
  readonly #terminal: boolean;
  #drawnLines = 0;
  #plainAtMs = Number.NEGATIVE_INFINITY;

  constructor(output: NodeJS.WriteStream) {
    this.#output = output;
    this.#terminal = output.isTTY === true && process.env.TERM !== 'dumb';
  }

  /** A line that stays, above whatever is being drawn. */
  say(line: string): void {
    this.#erase();
    this.#output.write(`${line}\n`);
  }

  /** `seconds` is the time on the stage, shown beside the lines. */
  draw(seconds: number, lines: readonly CopyLine[]): void {
    if (this.#terminal) {
      this.#redraw([`  ${formatDuration(seconds)}`, ...lines.map(lineOf)]);
      return;
    }
    if (lines.every(({ startShare }) => startShare === null)) return;
    if (performance.now() - this.#plainAtMs < PLAIN_INTERVAL_MS) return;
    this.#plainAtMs = performance.now();
    this.#output.write(`${plainLineOf(seconds, lines)}\n`);
  }

  /** Leaves what was drawn last where it is. */
  keep(): void {
    this.#drawnLines = 0;
  }

  #redraw(lines: readonly string[]): void {
    const width = (this.#output.columns ?? 80) - 1;
    this.#erase();
    this.#output.write(lines.map((line) => `${line.slice(0, width)}\n`).join(''));
    this.#drawnLines = lines.length;
  }

  #erase(): void {
    if (this.#drawnLines > 0) this.#output.write(`\x1b[${this.#drawnLines}A\x1b[J`);
    this.#drawnLines = 0;
  }
}

/** Columns padded to their widest cell; the first row is the head. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows
    .map((row) => `  ${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('   ')}`.trimEnd())
    .join('\n');
}
