// Pressure stall information: the share of time in which tasks waited for a processor, for memory or for storage. Linux 4.20
// and newer, Documentation/accounting/psi.rst; "full" of cpu is always 0 for the whole system. Seed row P23.

/** One line of /proc/pressure/*: averages in percent, the total in microseconds since boot. */
export interface PressureLine {
  readonly avg10: number;
  readonly totalUs: number;
}

export interface Pressure {
  /** Some task waited. */
  readonly some: PressureLine;
  /** All tasks that were not idle waited; null on kernels that do not tell it. */
  readonly full: PressureLine | null;
}

const LINE = /^(some|full) avg10=([0-9]+\.[0-9]+) avg60=[0-9.]+ avg300=[0-9.]+ total=([0-9]+)$/;

/** Null when the text is not what the kernel documents. */
export function parsePressure(text: string): Pressure | null {
  const lines = new Map<string, PressureLine>();
  for (const line of text.split('\n')) {
    const match = LINE.exec(line);
    if (match !== null) lines.set(match[1] ?? '', { avg10: Number(match[2]), totalUs: Number(match[3]) });
  }
  const some = lines.get('some');
  return some === undefined ? null : { some, full: lines.get('full') ?? null };
}

/**
 * The share of an interval that was stalled, in percent, from the counters at its ends. Null when the counter went back, as
 * it does in a machine that was put back to an earlier state.
 * @param intervalMs above 0, by the monotonic clock
 */
export function stalledPercent(beforeUs: number, nowUs: number, intervalMs: number): number | null {
  const stalledUs = nowUs - beforeUs;
  if (stalledUs < 0) return null;
  // The kernel's counter runs on while a suspended machine's monotonic clock stands, and both are read one after the other.
  return Math.min(100, stalledUs / (intervalMs * 10));
}
