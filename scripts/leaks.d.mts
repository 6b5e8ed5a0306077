export type Snapshot = Readonly<Record<string, readonly string[]>>;

export interface RunFacts {
  /** Value of UNDERSTUDY_TEST_RUN that the tests ran with. */
  readonly run: string;
  /** The folder that was their TMPDIR. */
  readonly temporary: string;
  /** @default 5000 */
  readonly graceMs?: number;
}

export function snapshot(): Snapshot;
export function leakedSince(before: Snapshot, facts: RunFacts): Promise<string[]>;
