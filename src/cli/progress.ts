// Progress on standard error: on a terminal lines that are redrawn in place (layout.ts), elsewhere a line a target
// every few seconds, for programs an object a line. What cannot be written at once is left out: a later one says more.
import type { CopyProgress, TargetProgress } from '../replication/mod.ts';
import { layout, lineOf, type Row, type TargetRow, widthOf } from './layout.ts';
import { jsonText, stderr } from './output.ts';
import { Rates } from './rates.ts';

const LINE_INTERVAL_MS = 5000;
const JSON_INTERVAL_MS = 1000;
const COLUMNS_DEFAULT = 80;
const ROWS_DEFAULT = 24;

export type ProgressKind = 'auto' | 'json' | 'none';

export interface Progress {
  show(progress: CopyProgress): void;
  /** Takes away what was drawn. Idempotent. */
  end(): void;
}

/** `terminal`: what is drawn on; null for lines. */
export function createProgress(kind: ProgressKind, source: string, terminal: NodeJS.WriteStream | null): Progress {
  if (kind === 'none') return { show() {}, end() {} };
  if (kind === 'json') return jsonProgress(source);
  return terminal === null ? lineProgress() : new DrawnProgress(terminal);
}

function lineProgress(): Progress {
  const rates = new Rates();
  let nextMs = performance.now() + LINE_INTERVAL_MS;
  return {
    show(progress) {
      const now = performance.now();
      const rows = progress.targets.map((target) => targetRow(target, progress, rates.of(target, progress, now)));
      if (now < nextMs) return;
      nextMs = now + LINE_INTERVAL_MS;
      stderr.show(rows.map((row) => `${lineOf(row, Number.POSITIVE_INFINITY)}\n`).join(''));
    },
    end() {},
  };
}

class DrawnProgress implements Progress {
  readonly #terminal: NodeJS.WriteStream;
  readonly #rates = new Rates();
  #drawn: readonly string[] = [];

  constructor(terminal: NodeJS.WriteStream) {
    this.#terminal = terminal;
  }

  show(progress: CopyProgress): void {
    const now = performance.now();
    const rows = progress.targets.map((target) => targetRow(target, progress, this.#rates.of(target, progress, now)));
    const size = this.#size();
    const back = this.#back(size);
    const lines = layout(rows, totalRow(rows, progress), size);
    if (stderr.show(`${back}${lines.map((text) => `${text}\u001b[K\n`).join('')}\u001b[J`)) this.#drawn = lines;
  }

  end(): void {
    // Not dropped, unlike progress: the messages that follow would stand between old lines.
    if (this.#drawn.length > 0) stderr.act(`${this.#back(this.#size())}\u001b[J`);
    this.#drawn = [];
  }

  #size(): { readonly columns: number; readonly rows: number } {
    // 0 by 0 is what a terminal says that does not know.
    return { columns: this.#terminal.columns || COLUMNS_DEFAULT, rows: this.#terminal.rows || ROWS_DEFAULT };
  }

  /** To the first line drawn. A terminal that was made narrower has broken the lines that no longer fit. */
  #back({ columns, rows }: { columns: number; rows: number }): string {
    const up = this.#drawn.reduce((sum, line) => sum + Math.max(1, Math.ceil(widthOf(line) / columns)), 0);
    return up === 0 ? '\r' : `\r\u001b[${Math.min(up, rows - 1)}A`;
  }
}

function targetRow(target: TargetProgress, progress: CopyProgress, bytesPerSecond: number | null): TargetRow {
  return {
    name: target.uri,
    share: progress.sizeKnown ? shareOf(target) : null,
    ...pace(bytesPerSecond, target.blocksLeft * progress.blockBytes, progress.sizeKnown),
    state: stateText(target, progress),
    failed: target.state === 'failed',
    done: target.state === 'done',
  };
}

function shareOf(target: TargetProgress): number {
  const total = target.blocksWanted;
  if (target.state === 'done') return 1;
  const verifying = target.state === 'verifying' && target.blocksLeft === 0;
  if (verifying) return Math.min(1, target.blocksVerified / Math.max(1, total));
  return total === 0 ? 0 : (total - target.blocksLeft) / total;
}

function pace(
  bytesPerSecond: number | null,
  bytesLeft: number,
  sizeKnown: boolean,
): Pick<Row, 'bytesPerSecond' | 'secondsLeft'> {
  if (bytesPerSecond === null || bytesPerSecond <= 0 || bytesLeft === 0)
    return { bytesPerSecond: null, secondsLeft: null };
  return { bytesPerSecond, secondsLeft: sizeKnown ? bytesLeft / bytesPerSecond : null };
}

/** All targets in one row: "20 targets  [###...]  41 %  900 MiB/s  1m05s left  2 done, 17 copying, 1 failed". */
function totalRow(rows: readonly TargetRow[], progress: CopyProgress): Row {
  const counts = new Map<string, number>();
  for (const { state } of progress.targets) counts.set(state, (counts.get(state) ?? 0) + 1);
  const shares = rows.map(({ share, failed }) => (failed ? 1 : share)).filter((share) => share !== null);
  const rates = rows.map(({ bytesPerSecond }) => bytesPerSecond).filter((rate) => rate !== null);
  const times = rows.map(({ secondsLeft }) => secondsLeft).filter((seconds) => seconds !== null);
  return {
    name: `${rows.length} targets`,
    share: shares.length === 0 ? null : shares.reduce((sum, share) => sum + share, 0) / shares.length,
    bytesPerSecond: rates.length === 0 ? null : rates.reduce((sum, rate) => sum + rate, 0),
    secondsLeft: times.length === 0 ? null : Math.max(...times),
    state: Array.from(counts, ([state, count]) => `${count} ${state}`).join(', '),
  };
}

function stateText(target: TargetProgress, progress: CopyProgress): string {
  const words: Record<TargetProgress['state'], string> = {
    queued: 'queued',
    starting: 'starting',
    copying: 'copying',
    waiting: 'waiting for the source',
    verifying: 'verifying',
    flushing: 'flushing',
    zeroing: 'zeroing',
    done: 'done',
    failed: 'failed',
  };
  const joined =
    target.startBlock > 0 && progress.blocksTotal > 0
      ? `, joined at ${Math.floor((100 * target.startBlock) / progress.blocksTotal)} %`
      : '';
  return `${words[target.state]}${target.detached ? ', at its own pace' : ''}${joined}`;
}

/**
 * One target's line in a window without end, for example "web7.img  [########............]   41 %  182 MiB/s  12.4s
 * left  copying".
 */
export function line(target: TargetProgress, progress: CopyProgress, bytesPerSecond: number | null): string {
  return lineOf(targetRow(target, progress, bytesPerSecond), Number.POSITIVE_INFINITY);
}

function jsonProgress(source: string): Progress {
  const rates = new Rates();
  let nextMs = 0;
  return {
    show(progress) {
      const now = performance.now();
      const rows = progress.targets.map((target) => targetRow(target, progress, rates.of(target, progress, now)));
      if (now < nextMs) return;
      nextMs = now + JSON_INTERVAL_MS;
      stderr.show(`${jsonText(progressObject(source, progress, rows))}\n`);
    },
    end() {},
  };
}

function progressObject(source: string, progress: CopyProgress, rows: readonly TargetRow[]): object {
  const { blockBytes, sizeKnown, bytesRead, sourceBytes } = progress;
  const total = totalRow(rows, progress);
  return {
    at: new Date().toISOString(),
    event: 'progress',
    source,
    bytes: sizeKnown ? sourceBytes : null,
    bytesRead,
    ...numbers(total),
    targets: progress.targets.map((target, index) => ({
      uri: target.uri,
      state: target.state,
      bytesWanted: sizeKnown ? target.blocksWanted * blockBytes : null,
      bytesDone: (target.blocksWanted - target.blocksLeft) * blockBytes,
      bytesVerified: target.blocksVerified * blockBytes,
      detached: target.detached,
      ...numbers(rows[index] ?? total),
    })),
  };
}

function numbers({ share, bytesPerSecond, secondsLeft }: Row): object {
  return {
    percent: share === null ? null : Math.floor(share * 1000) / 10,
    bytesPerSecond: bytesPerSecond === null ? null : Math.round(bytesPerSecond),
    secondsLeft: secondsLeft === null ? null : Math.round(secondsLeft * 10) / 10,
  };
}
