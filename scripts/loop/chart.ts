// A chart of latency over time for the terminal: one column a time slice, marks below it.

export interface Point {
  /** Seconds since the start. */
  readonly at: number;
  readonly value: number;
}

export interface Mark {
  /** Seconds since the start. */
  readonly at: number;
  /** One character. */
  readonly sign: string;
  readonly text: string;
}

export interface ChartOptions {
  readonly title: string;
  readonly unit: string;
  readonly columns: number;
  readonly rows: number;
  /** A horizontal line: the objective. */
  readonly limit: number;
}

const EIGHTHS = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/** The median of each slice of time; null where nothing was measured. */
export function slices(points: readonly Point[], columns: number, endAt: number): (number | null)[] {
  const buckets: number[][] = Array.from({ length: columns }, () => []);
  for (const { at, value } of points) {
    const column = Math.min(columns - 1, Math.floor((at / endAt) * columns));
    buckets[column]?.push(value);
  }
  return buckets.map((bucket) => (bucket.length === 0 ? null : medianOf(bucket)));
}

export function medianOf(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

export function chart(points: readonly Point[], marks: readonly Mark[], options: ChartOptions): string {
  const { columns, rows, limit, unit } = options;
  const endAt = Math.max(1, ...points.map(({ at }) => at), ...marks.map(({ at }) => at)) * 1.001;
  const values = slices(points, columns, endAt);
  const top = Math.max(limit * 1.25, ...values.map((value) => value ?? 0));
  const limitRow = Math.floor((limit / top) * rows);
  const lines = [options.title];
  for (let row = rows - 1; row >= 0; row -= 1) {
    const cells = values.map((value) => cellOf(value, row, top / rows));
    const drawn = cells.map((cell) => (cell === ' ' && row === limitRow ? '┄' : cell)).join('');
    const label =
      row === limitRow ? `${Math.round(limit)} ${unit}` : row === rows - 1 ? `${Math.round(top)} ${unit}` : '';
    lines.push(`${label.padStart(9)} │${drawn}`);
  }
  lines.push(`${'0'.padStart(9)} └${'─'.repeat(columns)}`);
  lines.push(`${' '.repeat(11)}${markLine(marks, columns, endAt)}`);
  for (const { sign, at, text } of marks)
    lines.push(`${' '.repeat(11)}${sign} ${at.toFixed(0).padStart(4)} s  ${text}`);
  return lines.join('\n');
}

function cellOf(value: number | null, row: number, perRow: number): string {
  if (value === null) return ' ';
  const filled = Math.round(Math.min(1, Math.max(0, value / perRow - row)) * 8);
  return EIGHTHS[filled] ?? ' ';
}

function markLine(marks: readonly Mark[], columns: number, endAt: number): string {
  const cells = Array.from({ length: columns }, () => ' ');
  for (const { at, sign } of marks) {
    let column = Math.min(columns - 1, Math.floor((at / endAt) * columns));
    while (column < columns - 1 && cells[column] !== ' ') column += 1;
    cells[column] = sign;
  }
  return cells.join('').trimEnd();
}
