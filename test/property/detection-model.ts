// Detection as its contract says it, with no thought of speed or memory: all samples are kept, and each state is found by going
// through all of them. What the real detector does at once and within bounds has to come to the same.
import {
  COVERAGE_MIN,
  HOLD_SHARE,
  type Objective,
  RECOVERY,
  type Sample,
  type Verdict,
} from '../../src/detection/mod.ts';

export interface Judged {
  readonly verdict: Verdict;
  /** Share of the fast and of the slow window that breaches; null without samples. */
  readonly shares: readonly (number | null)[];
}

interface Window {
  readonly share: number | null;
  readonly coverage: number;
}

/** The highest value of each time, in the order of times. */
function measured(samples: readonly Sample[], untilMs: number): readonly [number, number][] {
  const byTime = new Map<number, number>();
  for (const { atMs, value } of samples) {
    if (value === null || !Number.isFinite(value) || atMs > untilMs) continue;
    byTime.set(atMs, Math.max(value, byTime.get(atMs) ?? Number.NEGATIVE_INFINITY));
  }
  return [...byTime].sort(([a], [b]) => a - b);
}

function windowAt(all: readonly [number, number][], endMs: number, lengthMs: number, objective: Objective): Window {
  const startMs = endMs - lengthMs;
  const holdMs = objective.fastSeconds * 1000 * HOLD_SHARE;
  const known = all.filter(([atMs]) => atMs <= endMs);
  const inside = known.filter(([atMs]) => atMs > startMs);
  let observedMs = 0;
  for (const [index, [atMs]] of known.entries()) {
    const heldMs = Math.min(atMs + holdMs, known[index + 1]?.[0] ?? endMs, endMs);
    observedMs += Math.max(0, heldMs - Math.max(atMs, startMs));
  }
  const breaching = inside.filter(([, value]) => value > objective.below).length;
  return { share: inside.length === 0 ? null : breaching / inside.length, coverage: observedMs / lengthMs };
}

export function judge(objective: Objective, samples: readonly Sample[], nowMs: number): Judged {
  const [fastMs, slowMs] = [objective.fastSeconds * 1000, objective.slowSeconds * 1000];
  const all = measured(samples, nowMs);
  const both = (atMs: number) => [fastMs, slowMs].map((lengthMs) => windowAt(all, atMs, lengthMs, objective));
  const covered = (atMs: number) => both(atMs).every(({ coverage }) => coverage >= COVERAGE_MIN);
  let degraded = false;
  for (const [index, [atMs]] of all.entries()) {
    if (index === 0 || atMs - (all[index - 1]?.[0] ?? 0) >= slowMs) degraded = false;
    if (!covered(atMs)) continue;
    const [fast, slow] = both(atMs).map(({ share }) => share ?? 0);
    if (fast === undefined || slow === undefined) continue;
    if (fast >= objective.share && slow >= objective.share) degraded = true;
    else if (fast < objective.share && slow < objective.share * RECOVERY) degraded = false;
  }
  const lastMs = all.at(-1)?.[0];
  const known = lastMs !== undefined && nowMs - lastMs < slowMs && covered(lastMs) && covered(nowMs);
  const verdict = known ? (degraded ? 'degraded' : 'healthy') : 'unknown';
  return { verdict, shares: both(known ? lastMs : nowMs).map(({ share }) => share) };
}
