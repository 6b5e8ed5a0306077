// The store in one SQLite file (with SQLite's write-ahead log beside it), for one machine: any number of processes may
// open it. What `put` resolved for survives the death of every process and of the machine: each transaction is synced
// before it counts. Calls of SQLite are synchronous: each takes this thread for as long as the disk takes to sync,
// milliseconds mostly.
import { UnderstudyError } from '../base/mod.ts';
import type { Backend, Look, Row, RowChange } from './backend.ts';
import { Bell } from './bell.ts';
import type { Store } from './contract.ts';
import type { LeaseClock, LeaseDecision, LeaseRow } from './lease-rules.ts';
import { machineClock } from './machine-clock.ts';
import { DELETIONS_KEPT } from './record-rules.ts';
import { SqliteFile, type Statement } from './sqlite-file.ts';
import { BackedStore } from './store.ts';

export interface SqliteStoreOptions {
  /** The same for all processes on the file. @default the machine's monotonic clock */
  readonly clock?: LeaseClock;
  /** After so many further changes a deletion is forgotten; the same for all processes on the file. @default 100000 */
  readonly deletionsKept?: number;
  /** How long a call waits for others who write, before it fails with STORE_FAILED. @default 30000 */
  readonly waitMsMax?: number;
}

/** A transaction of ours takes milliseconds; only a disk that does not answer makes anybody wait this long. */
const WAIT_MS_MAX = 30_000;

/** Four times within the second that the contract allows. */
const LOOK_MS = 250;

/**
 * Greater than every character of a key, and of what another program may have put there: the end of the keys that start
 * with a prefix.
 */
const AFTER_ALL_KEYS = '\u{10ffff}';

/** Revisions that the counter has not given are none, also those that JavaScript could not count. */
const REVISION =
  'CASE WHEN revision BETWEEN 1 AND (SELECT revision FROM counter) THEN revision ELSE -1 END AS revision';
/** The largest epoch that can still be raised. */
const EPOCH = `CASE WHEN epoch BETWEEN 1 AND ${Number.MAX_SAFE_INTEGER - 1} THEN epoch END AS epoch`;

class SqliteBackend implements Backend {
  readonly bell = new Bell();
  readonly lookMs = LOOK_MS;
  readonly deletionsKept: number;
  readonly #file: SqliteFile;
  readonly #get: Statement;
  readonly #list: Statement;
  readonly #revision: Statement;
  readonly #count: Statement;
  readonly #taken: Statement;
  readonly #put: Statement;
  readonly #forget: Statement;
  readonly #look: Statement;
  readonly #lease: Statement;
  readonly #putLease: Statement;

  constructor(file: SqliteFile, deletionsKept: number) {
    this.#file = file;
    this.deletionsKept = deletionsKept;
    this.#get = file.prepare(`SELECT key, text, ${REVISION} FROM record WHERE key = ? AND text IS NOT NULL`);
    this.#list = file.prepare(
      `SELECT key, text, ${REVISION} FROM record WHERE key >= ? AND key < ? AND text IS NOT NULL ORDER BY key`,
    );
    this.#revision = file.prepare(`SELECT ${REVISION} FROM record WHERE key = ? AND text IS NOT NULL`);
    this.#count = file.prepare('UPDATE counter SET revision = revision + 1 RETURNING revision');
    this.#taken = file.prepare('SELECT 1 FROM record WHERE revision = ?');
    this.#put = file.prepare('INSERT OR REPLACE INTO record (key, text, revision) VALUES (?, ?, ?)');
    this.#forget = file.prepare('DELETE FROM record WHERE text IS NULL AND revision <= ?');
    this.#look = file.prepare(`
      SELECT counter.revision AS now, changed.key, changed.text, changed.revision FROM counter LEFT JOIN (
        SELECT key, text, revision FROM record INDEXED BY record_by_revision
        WHERE revision > ? AND revision <= (SELECT revision FROM counter) AND key >= ? AND key < ? AND (text IS NOT NULL OR revision > ?)
        ORDER BY revision LIMIT 1
      ) AS changed`);
    this.#lease = file.prepare(`SELECT ${EPOCH}, holder, era, expiresMs FROM lease WHERE name = ?`);
    this.#putLease = file.prepare(
      'INSERT OR REPLACE INTO lease (name, epoch, holder, era, expiresMs) VALUES (?, ?, ?, ?, ?)',
    );
  }

  get(key: string): Promise<Row | null> {
    return this.#file.read(() => (this.#get.get(key) as Row | undefined) ?? null);
  }

  list(prefix: string): Promise<readonly Row[]> {
    return this.#file.read(() => this.#list.all(prefix, prefix + AFTER_ALL_KEYS) as Row[]);
  }

  write(key: string, text: string | null, expected: number): Promise<{ revision: number } | { found: number }> {
    return this.#file.write(() => {
      const found = (this.#revision.get(key) as { revision: number } | undefined)?.revision ?? 0;
      if (found !== expected) return { found };
      const revision = this.#nextRevision();
      this.#put.run(key, text, revision);
      if (text === null) {
        this.#forget.run(revision - this.deletionsKept);
        this.#file.giveBack();
      }
      return { revision };
    });
  }

  /**
   * One that a record already has, because another program wrote it, is passed over: replacing it would delete that
   * record.
   */
  #nextRevision(): number {
    for (;;) {
      const { revision } = this.#count.get() as { revision: number };
      if (this.#taken.get(revision) === undefined) return revision;
    }
  }

  changeAfter(prefix: string, after: number, deletedAfter: number): Promise<Look> {
    return this.#file.read(() => {
      const row = this.#look.get(after, prefix, prefix + AFTER_ALL_KEYS, deletedAfter) as {
        now: number;
        key: string | null;
        text: string | null;
        revision: number | null;
      };
      const { now, key, text, revision } = row;
      const change: RowChange | null = key === null || revision === null ? null : { key, text, revision };
      return { now, change };
    });
  }

  changeLease(name: string, decide: LeaseDecision): Promise<LeaseRow | null> {
    return this.#file.write(() => {
      const found = (this.#lease.get(name) as (LeaseRow & { readonly epoch: number | null }) | undefined) ?? null;
      if (found?.epoch === null) {
        const why = 'its epoch is not one that this store gives';
        throw new UnderstudyError('STORE_FAILED', `the lease "${name}" cannot be used: ${why}; restore the store`);
      }
      const row = decide(found);
      if (row !== null) this.#putLease.run(name, row.epoch, row.holder, row.era, row.expiresMs);
      return row;
    });
  }

  async close(): Promise<void> {
    this.#file.close();
  }
}

/**
 * Copies a store as of one moment, whoever uses it meanwhile; the copy is a store as well (mode 0600).
 * @param path of the store, which must exist @param to must not exist @throws STORE_FAILED
 */
export async function copySqliteStore(path: string, to: string): Promise<void> {
  const file = await SqliteFile.open(path, WAIT_MS_MAX);
  try {
    await file.copyTo(to);
  } finally {
    file.close();
  }
}

/**
 * Opens the store in a file, which is made (mode 0600) if it does not exist; its folder has to be there, on a local
 * file system. Several processes may open one file, and one process may open it several times. A process that ends
 * without closing it loses nothing.
 * @param path of the file, absolute
 * @throws STORE_FAILED, with the cause
 */
export async function openSqliteStore(path: string, options: SqliteStoreOptions = {}): Promise<Store> {
  const file = await SqliteFile.open(path, options.waitMsMax ?? WAIT_MS_MAX);
  try {
    const backend = await file.read(() => new SqliteBackend(file, options.deletionsKept ?? DELETIONS_KEPT));
    return new BackedStore(backend, options.clock ?? machineClock());
  } catch (error) {
    file.close();
    throw error;
  }
}
