// The store: durable records with revisions. All knowledge of the controller and of the storage node lies here; what is
// in memory may be lost at any instruction.

export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

export interface StoredRecord<T = Json> {
  /** Parts of lower-case letters, digits, ".", "_" and "-", joined by "/": "engagement/web1-20261124-1". 1 to 200 characters. */
  readonly key: string;
  readonly value: T;
  /** Of this change. One counter for the whole store, so revisions order all changes; never used twice. */
  readonly revision: number;
}

export interface Change<T = Json> {
  readonly key: string;
  /** null: the record was deleted. */
  readonly value: T | null;
  readonly revision: number;
}

export interface Lease {
  readonly name: string;
  readonly holder: string;
  /** Raised by every acquisition by somebody else or after expiry: the fencing token for driver calls. 1 and up. */
  readonly epoch: number;
  /** Extends the lease by its time from now. @throws LEASE_LOST when somebody else has it or it has expired. */
  renew(): Promise<void>;
  /** Gives it up; somebody else can have it at once. Losing it meanwhile is no error. */
  release(): Promise<void>;
}

export interface Store {
  /** The record, or null. */
  get<T = Json>(key: string): Promise<StoredRecord<T> | null>;
  /** All records whose key starts with the prefix, in the order of keys, as of one moment. */
  list<T = Json>(prefix: string): Promise<readonly StoredRecord<T>[]>;
  /**
   * Writes a record when its revision is the expected one; 0 means that it must not exist. Durable when it resolves.
   * @returns the new revision
   * @throws STORE_CONFLICT when the revision is another, STORE_INVALID for keys and values out of range (1 MiB of JSON)
   */
  put(key: string, value: unknown, expected: number): Promise<number>;
  /** Deletes a record when its revision is the expected one. @throws STORE_CONFLICT */
  delete(key: string, expected: number): Promise<void>;
  /**
   * First every record under the prefix as it is, then every later change in the order of revisions, until the signal or
   * the reader ends it. Changes to one key that follow each other quickly may arrive as the last of them only (level, not
   * edges); a deletion that nobody saw created may be left out. Changes made by other processes arrive within a second.
   */
  watch<T = Json>(prefix: string, signal: AbortSignal): AsyncIterable<Change<T>>;
  /**
   * Takes the lease when nobody has it, it has expired, or the same holder asks again.
   * @param ttlMs 100 to 600000
   * @returns null when somebody else has it
   */
  lease(name: string, holder: string, ttlMs: number): Promise<Lease | null>;
  /** Ends all watches. */
  close(): Promise<void>;
}
