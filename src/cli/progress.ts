// Progress: on a terminal one line a target, redrawn in place; elsewhere a line a target every few seconds.
import { formatBytes, formatDuration } from '../base/mod.ts';
import type { CopyProgress, TargetProgress } from '../replication/mod.ts';

const LINE_INTERVAL_MS = 5000;
const BAR_CELLS = 20;
/** Rates are averaged over about this long. */
const RATE_WINDOW_MS = 3000;

export interface Progress {
  show(progress: CopyProgress): void;
  /** Idempotent. */
  end(): void;
}

interface Rate {
  atMs: number;
  blocksLeft: number;
  bytesPerSecond: number | null;
}

export function createProgress(stream: NodeJS.WriteStream, quiet: boolean): Progress {
  if (quiet) return { show() {}, end() {} };
  const rates = new Map<string, Rate>();
  const terminal = stream.isTTY === true;
  let drawn = 0;
  let nextLineMs = performance.now() + LINE_INTERVAL_MS;
  return {
    show(progress) {
      const now = performance.now();
      const lines = progress.targets.map((target) => line(target, progress, rateOf(rates, target, progress, now)));
      if (terminal) {
        const width = stream.columns ?? 80;
        const up = drawn > 0 ? `\u001b[${drawn}A` : '';
        stream.write(up + lines.map((text) => `\u001b[2K${text.slice(0, width - 1)}\n`).join(''));
        drawn = lines.length;
      } else if (now >= nextLineMs) {
        nextLineMs = now + LINE_INTERVAL_MS;
        stream.write(lines.map((text) => `${text}\n`).join(''));
      }
    },
    end() {
      if (drawn > 0) stream.write(`\u001b[${drawn}A\u001b[J`);
      drawn = 0;
    },
  };
}

function rateOf(
  rates: Map<string, Rate>,
  target: TargetProgress,
  progress: CopyProgress,
  nowMs: number,
): number | null {
  const rate = rates.get(target.uri);
  if (rate === undefined || target.blocksLeft > rate.blocksLeft) {
    rates.set(target.uri, { atMs: nowMs, blocksLeft: target.blocksLeft, bytesPerSecond: null });
    return null;
  }
  const elapsedMs = nowMs - rate.atMs;
  if (elapsedMs < 500) return rate.bytesPerSecond;
  const current = ((rate.blocksLeft - target.blocksLeft) * progress.blockBytes * 1000) / elapsedMs;
  const weight = Math.min(1, elapsedMs / RATE_WINDOW_MS);
  const before = rate.bytesPerSecond;
  const bytesPerSecond = before === null ? current : before * (1 - weight) + current * weight;
  rates.set(target.uri, { atMs: nowMs, blocksLeft: target.blocksLeft, bytesPerSecond });
  return bytesPerSecond;
}

/** One target's line, for example "web7.img  [########............]  41 %  182 MiB/s  12.4s left  copying, joined at 37 %". */
export function line(target: TargetProgress, progress: CopyProgress, bytesPerSecond: number | null): string {
  const total = target.blocksWanted;
  const doneShare = target.state === 'done' ? 1 : total === 0 ? 0 : (total - target.blocksLeft) / total;
  const verifying = target.state === 'verifying' && target.blocksLeft === 0;
  const share = verifying ? Math.min(1, target.blocksVerified / Math.max(1, total)) : doneShare;
  const cells = Math.round(share * BAR_CELLS);
  const bar = progress.sizeKnown
    ? `[${'#'.repeat(cells)}${'.'.repeat(BAR_CELLS - cells)}]  ${String(Math.floor(share * 100)).padStart(3)} %`
    : `[${'?'.repeat(BAR_CELLS)}]     `;
  const moving = bytesPerSecond !== null && bytesPerSecond > 0 && target.blocksLeft > 0;
  const rate = moving ? `  ${formatBytes(bytesPerSecond)}/s` : '';
  const left =
    moving && progress.sizeKnown
      ? `  ${formatDuration((target.blocksLeft * progress.blockBytes) / bytesPerSecond)} left`
      : '';
  return `${target.uri}  ${bar}${rate}${left}  ${stateText(target, progress)}`;
}

function stateText(target: TargetProgress, progress: CopyProgress): string {
  const words: Record<TargetProgress['state'], string> = {
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
