// The two ways to judge an objective, behind one face. Both come to the same verdict (stream.test.ts).
import type { Finding, Objective, Sample, Verdict } from '../contract.ts';
import { createDetector } from '../detector.ts';
import { shown } from '../evidence.ts';
import { StreamDetector } from '../stream.ts';
import type { Fact, ObjectiveJudge } from './contract.ts';

/** For samples as they come, late ones too. */
export class LiveObjective implements ObjectiveJudge {
  readonly silentFromMs = Number.POSITIVE_INFINITY;
  readonly #objective: Objective;
  readonly #detector: ReturnType<typeof createDetector>;
  #finding: Finding | null = null;

  constructor(objective: Objective) {
    this.#objective = objective;
    this.#detector = createDetector(objective);
  }

  add(sample: Sample): void {
    this.#detector.add(sample);
  }

  verdictAt(nowMs: number): Verdict {
    this.#finding = this.#detector.verdict(nowMs);
    return this.#finding.verdict;
  }

  get score(): number {
    const [fast, slow] = this.#finding?.shares ?? [0, 0];
    return Math.min(fast, slow) / this.#objective.share;
  }

  failsBy(factor: number): boolean {
    const [fast, slow] = this.#finding?.evidence ?? [];
    const { below } = this.#objective;
    if (fast === undefined || slow === undefined || below <= 0) return false;
    return slow.values.breaching === slow.values.samples && (fast.values.median ?? 0) >= factor * below;
  }

  facts(): readonly Fact[] {
    const { reason, evidence } = this.#finding ?? {
      reason: `no sample of ${this.#objective.signal} yet`,
      evidence: [],
    };
    return [{ text: reason, values: {} }, ...evidence];
  }
}

/** For samples in their order, with the same work for each however many the windows hold. */
export class RecordedObjective implements ObjectiveJudge {
  readonly #objective: Objective;
  readonly #detector: StreamDetector;

  constructor(objective: Objective) {
    this.#objective = objective;
    this.#detector = new StreamDetector(objective);
  }

  add(sample: Sample): void {
    this.#detector.add(sample);
  }

  verdictAt(nowMs: number): Verdict {
    return nowMs > this.#detector.silentFromMs ? 'unknown' : this.#detector.verdict;
  }

  get silentFromMs(): number {
    return this.#detector.silentFromMs;
  }

  get score(): number {
    return this.#detector.score || 0;
  }

  failsBy(factor: number): boolean {
    const { samples, breaching } = this.#detector.counts('slow');
    const { below } = this.#objective;
    if (breaching !== samples || below <= 0) return false;
    const { recent } = this.#detector;
    return (recent[Math.ceil(recent.length / 2) - 1] ?? 0) >= factor * below;
  }

  facts(): readonly Fact[] {
    const { signal, below, fastSeconds, slowSeconds } = this.#objective;
    const [fast, slow] = [this.#detector.counts('fast'), this.#detector.counts('slow')];
    const text =
      `${signal} above ${shown(below)} in ${fast.breaching} of ${fast.samples} samples of the last ${fastSeconds} s and in ` +
      `${slow.breaching} of ${slow.samples} of the last ${slowSeconds} s`;
    return [{ text, values: {} }];
  }
}
