// What a driver of the store has to do: keep texts, revisions and leases. Everything else is the same for all of them,
// and is in store.ts.
import type { Bell } from './bell.ts';
import type { LeaseDecision, LeaseRow } from './lease-rules.ts';

export interface Row {
  readonly key: string;
  /** JSON, unless another program wrote it. */
  readonly text: string;
  /** 1 and up; -1 when it is none that this store can have given. */
  readonly revision: number;
}

/** A row, or with null the deletion of one. */
export interface RowChange {
  readonly key: string;
  readonly text: string | null;
  readonly revision: number;
}

export interface Look {
  /** Of the last change of the whole store, whatever its key. */
  readonly now: number;
  /** The first change of `changeAfter`, or null when there is none up to `now`. */
  readonly change: RowChange | null;
}

export interface Backend {
  /** Rung after each change that is made in this process. */
  readonly bell: Bell;
  /** How often changes of other processes are looked for; null where there are none. */
  readonly lookMs: number | null;
  get(key: string): Promise<Row | null>;
  /** In the order of keys, as of one moment. */
  list(prefix: string): Promise<readonly Row[]>;
  /**
   * In one transaction, and durable when it resolves: compares the revision (0: no such record), and writes the text,
   * or with null deletes the record.
   * @returns the new revision, or what was found instead of the expected one
   */
  write(key: string, text: string | null, expected: number): Promise<{ revision: number } | { found: number }>;
  /**
   * As of one moment: the change with the lowest revision above `after` under the prefix. Deletions up to
   * `deletedAfter` are not told.
   */
  changeAfter(prefix: string, after: number, deletedAfter: number): Promise<Look>;
  /** Deletions further back than this number of changes may have been forgotten. */
  readonly deletionsKept: number;
  /** In one transaction, and durable when it resolves. @returns the row that was written, or null */
  changeLease(name: string, decide: LeaseDecision): Promise<LeaseRow | null>;
  close(): Promise<void>;
}
