// The store: durable records with revisions. All knowledge of the controller and of the storage node lies here; what is
// in memory may be lost at any instruction.

export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

export interface StoredRecord<T = Json> {
  /**
   * Parts of lower-case letters, digits, ".", "_" and "-", joined by "/": "engagement/web1-20261124-1". 1 to 200
   * characters.
   */
  readonly key: string;
  /**
   * Read from the store by each call: changing it changes nothing in the store. Never null.
   * @throws RECORD_UNUSABLE when what is stored is not a value of this store: another program, or a damaged disk, has
   *   changed it
   */
  readonly value: T;
  /**
   * Of this change. One counter for the whole store, so revisions order all changes; 1 and up, never used twice.
   * `FOREIGN` for a record that this store has not written like this: it cannot be changed, and `delete` takes
   * `FOREIGN` for it.
   */
  readonly revision: number;
  /** What is stored, as it is. */
  readonly text: string;
}

/** Revision of a record that this store has not written like this: its key or its revision is none of this store's. */
export const FOREIGN = -1;

export interface Change<T = Json> {
  readonly key: string;
  /** null: the record was deleted. @throws RECORD_UNUSABLE */
  readonly value: T | null;
  readonly revision: number;
}

export interface Lease {
  readonly name: string;
  readonly holder: string;
  /**
   * Raised by every acquisition by somebody else, and after expiry or release: the fencing token for driver calls. 1
   * and up.
   */
  readonly epoch: number;
  /** Extends the lease by its time from now. @throws LEASE_LOST when somebody else has it or it has expired. */
  renew(): Promise<void>;
  /** Gives it up; somebody else can have it at once. Losing it meanwhile is no error. */
  release(): Promise<void>;
}

/**
 * Every method can also fail with STORE_FAILED: storage that cannot be read or written (the system's error is the
 * cause), or a store that has been closed. A change that failed so may have been made nevertheless: read before trying
 * again.
 */
export interface Store {
  /** The record, or null. @throws STORE_INVALID for what cannot be a key */
  get<T = Json>(key: string): Promise<StoredRecord<T> | null>;
  /**
   * All records whose key starts with the prefix, in the order of keys (by character code), as of one moment.
   * @param prefix the start of a key, which may end within a part; '' for everything. @throws STORE_INVALID
   */
  list<T = Json>(prefix: string): Promise<readonly StoredRecord<T>[]>;
  /**
   * Writes a record when its revision is the expected one; 0 means that it must not exist. Durable when it resolves,
   * and seen by every `get`, `list` and `watch` that begins after that, also in other processes.
   * @param value what reads back the same: no null by itself, no NaN, no instances of classes; at most 1 MiB of JSON,
   *   nested at most 100 deep. Properties that are undefined are left out
   * @returns the new revision
   * @throws STORE_CONFLICT when the revision is another, STORE_INVALID for keys and values out of range
   */
  put(key: string, value: unknown, expected: number): Promise<number>;
  /**
   * Deletes a record when its revision is the expected one (1 and up, or `FOREIGN`). @throws STORE_CONFLICT,
   * STORE_INVALID
   */
  delete(key: string, expected: number): Promise<void>;
  /**
   * First every record under the prefix as it is, then every later change in the order of revisions, until the signal
   * or the reader ends it. Changes to one key that follow each other quickly may arrive as the last of them only
   * (level, not edges); a deletion that nobody saw created may be left out. Changes made by other processes arrive
   * within a second. Nothing is read ahead: what arrives is as new as the moment at which it was asked for, and a slow
   * reader costs no memory.
   * @throws STORE_INVALID at once; while it is read STORE_FAILED, also when the reader is so far behind (100,000
   *   changes) that deletions have been forgotten: then it has to begin again, with nothing known
   */
  watch<T = Json>(prefix: string, signal: AbortSignal): AsyncIterable<Change<T>>;
  /**
   * Takes the lease when nobody has it, it has expired, or the same holder asks again. Leases are no records: `list`
   * and `watch` do not show them.
   * @param name as keys are; @param holder 1 to 200 characters, of this start of this process and of nobody else:
   *   whoever gives the same name is the same holder
   * @param ttlMs 100 to 600000
   * @param above the epoch of an acquisition is above this one, whatever the store remembers @default 0
   * @returns null when somebody else has it
   * @throws STORE_INVALID
   */
  lease(name: string, holder: string, ttlMs: number, above?: number): Promise<Lease | null>;
  /** Ends all watches of this store. Everything else is refused from then on; closing it again does nothing. */
  close(): Promise<void>;
}
