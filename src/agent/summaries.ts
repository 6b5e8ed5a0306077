// What every signal was since the last report that was delivered: its last value, and the highest and the mean of those in between. A
// heartbeat a few seconds later would else hide what happened meanwhile.
import type { SignalReading, SignalSummary } from './protocol.ts';

interface Kept {
  readonly reading: SignalReading;
  readonly max: number;
  readonly sum: number;
  readonly samples: number;
}

export class Summaries {
  #kept = new Map<string, Kept>();

  note(name: string, reading: SignalReading): void {
    const before = this.#kept.get(name);
    const { value } = reading;
    const { max = Number.NEGATIVE_INFINITY, sum = 0, samples = 0 } = before ?? {};
    if (value === null) this.#kept.set(name, { reading, max, sum, samples });
    else this.#kept.set(name, { reading, max: Math.max(max, value), sum: sum + value, samples: samples + 1 });
  }

  /** The last of a signal; undefined: it is none of this agent. */
  last(name: string): SignalReading | undefined {
    return this.#kept.get(name)?.reading;
  }

  all(): Readonly<Record<string, SignalSummary>> {
    return Object.fromEntries([...this.#kept].map(([name, kept]) => [name, summaryOf(kept)]));
  }

  /** What was told has been heard. Values since then, while the report was under way, are told twice rather than never. */
  delivered(told: Readonly<Record<string, SignalSummary>>): void {
    for (const [name, { samples }] of Object.entries(told)) {
      const kept = this.#kept.get(name);
      if (kept === undefined || kept.samples > samples) continue;
      this.#kept.set(name, { reading: kept.reading, max: Number.NEGATIVE_INFINITY, sum: 0, samples: 0 });
    }
  }
}

function summaryOf({ reading, max, sum, samples }: Kept): SignalSummary {
  if (samples === 0) return { ...reading, samples };
  return { ...reading, max, mean: Math.round((sum / samples) * 1000) / 1000, samples };
}
