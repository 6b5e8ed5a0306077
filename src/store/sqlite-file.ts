// One SQLite file: how it is made and opened, its tables, its transactions, and waiting for other processes.
//
// Never open or read the file in any other way in a process that has a store on it: SQLite's locks are POSIX locks, and
// the kernel drops all of a process's locks on a file when the process closes any descriptor of it (fcntl(2), "Advisory
// record locking"), which lets another process throw away the log that this one is writing.
import { chmodSync, closeSync, fsyncSync, openSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { errnoOf, UnderstudyError } from '../base/mod.ts';
import { isBusy, isOperating, storeFailure } from './sqlite-errors.ts';

type Sqlite = typeof import('@photostructure/sqlite');
type Database = InstanceType<Sqlite['DatabaseSync']>;
export type Statement = ReturnType<Database['prepare']>;

/** "USTY": marks the file as ours (https://www.sqlite.org/pragma.html#pragma_application_id). */
const APPLICATION_ID = 0x55535459;
const VERSION = 1;
const MODE = 0o600;
/** Far more than can ever be written, and far from what JavaScript cannot count. */
const REVISION_MAX = 2 ** 52;
const BUSY_PAUSE_MS_MAX = 20;
/** Room within the file that is given back when it is opened: what a flood has written and the bounds have deleted. */
const FREE_BYTES_MAX = 8 * 1024 * 1024;
/**
 * Pages of free room from which on they are given back while it is used, and how many at a time, so that no write takes
 * long.
 */
const FREE_PAGES_MAX = 1024;
const GIVEN_BACK_PAGES = 128;
/** https://www.sqlite.org/pragma.html#pragma_auto_vacuum */
const INCREMENTAL = 2;
/** The log is cut back to this after a checkpoint, should it ever have grown beyond. */
const LOG_BYTES_MAX = 16 * 1024 * 1024;

/**
 * A deleted record stays for a while, with NULL, so that watches of other processes hear of it.
 * A lease's row stays for ever, for its epoch.
 */
const TABLES = `
  CREATE TABLE counter (id INTEGER PRIMARY KEY CHECK (id = 1), revision INTEGER NOT NULL) STRICT;
  INSERT INTO counter VALUES (1, 0);
  CREATE TABLE record (key TEXT PRIMARY KEY, text TEXT, revision INTEGER NOT NULL) STRICT, WITHOUT ROWID;
  CREATE UNIQUE INDEX record_by_revision ON record (revision);
  CREATE INDEX deletion ON record (revision) WHERE text IS NULL;
  CREATE TABLE lease (
    name TEXT PRIMARY KEY, epoch INTEGER NOT NULL, holder TEXT, era TEXT NOT NULL, expiresMs REAL NOT NULL
  ) STRICT, WITHOUT ROWID;
  PRAGMA application_id = ${APPLICATION_ID};
  PRAGMA user_version = ${VERSION};
`;

function syncFolder(path: string): void {
  const fd = openSync(dirname(path), 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/**
 * Makes the file with its mode before SQLite would make it with another; the log and its index get the mode of the
 * file.
 */
function ensureFile(path: string): void {
  try {
    closeSync(openSync(path, 'wx', MODE));
    syncFolder(path);
  } catch (error) {
    if (errnoOf(error) !== 'EEXIST') throw error;
    if ((statSync(path).mode & 0o777) !== MODE) chmodSync(path, MODE);
  }
}

export class SqliteFile {
  readonly #path: string;
  readonly #database: Database;
  readonly #waitMsMax: number;
  #free: Statement | null = null;
  #closed = false;

  private constructor(path: string, database: Database, waitMsMax: number) {
    this.#path = path;
    this.#database = database;
    this.#waitMsMax = waitMsMax;
  }

  /** @param waitMsMax how long other processes may keep us waiting. @throws STORE_FAILED */
  static async open(path: string, waitMsMax: number): Promise<SqliteFile> {
    // Loaded only by who needs it: commands that have no store start without it.
    const { DatabaseSync } = await import('@photostructure/sqlite');
    let database: Database;
    try {
      ensureFile(path);
      database = new DatabaseSync(path);
    } catch (error) {
      throw storeFailure(path, 'open', error);
    }
    const file = new SqliteFile(path, database, waitMsMax);
    try {
      await file.#prepareFile();
    } catch (error) {
      database.close();
      throw error;
    }
    return file;
  }

  /** Within the work of `read` or `write`: it may have to read the tables' definitions. */
  prepare(sql: string): Statement {
    return this.#database.prepare(sql);
  }

  /** Runs statements that read; each sees the file as of one moment. */
  read<T>(work: () => T): Promise<T> {
    return this.#patiently('read', work);
  }

  /** Runs statements in one transaction that is on the disk when this resolves, and undone when they throw. */
  write<T>(work: () => T): Promise<T> {
    return this.#patiently('write', () => this.#transact(work));
  }

  /**
   * All of it as of one moment, in a new file, whoever writes meanwhile
   * (https://www.sqlite.org/lang_vacuum.html#vacuuminto). @throws STORE_FAILED, also when the file exists
   */
  async copyTo(path: string): Promise<void> {
    await this.#patiently('copy', () => this.#database.prepare('VACUUM INTO ?').run(path));
    chmodSync(path, MODE);
  }

  /** Within the work of `write`, after a deletion: gives free room back to the file system, a little at a time. */
  giveBack(): void {
    // Prepared once: a statement cannot be ended, only collected.
    this.#free ??= this.#database.prepare('PRAGMA freelist_count');
    const { freelist_count: pages } = this.#free.get() as { freelist_count: number };
    if (pages <= FREE_PAGES_MAX) return;
    this.#database.exec(`PRAGMA incremental_vacuum(${GIVEN_BACK_PAGES})`);
  }

  /**
   * Nothing has to be saved by it. The package gives no way to end prepared statements, and SQLite keeps a connection,
   * and its files open, until the last of them has been collected as garbage or the process ends.
   */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    try {
      this.#database.close();
    } catch (error) {
      throw storeFailure(this.#path, 'close', error);
    }
  }

  #transact<T>(work: () => T): T {
    const database = this.#database;
    // Takes the right to write at once: a transaction that began by reading could not wait for it.
    database.exec('BEGIN IMMEDIATE');
    try {
      const result = work();
      database.exec('COMMIT');
      return result;
    } catch (error) {
      // After some failures SQLite has undone everything by itself.
      if (database.isTransaction) database.exec('ROLLBACK');
      throw error;
    }
  }

  /**
   * SQLite's own waiting would stop this whole process, its heartbeats and its answers, for as long as another one
   * writes; so it is not used, and we wait here.
   */
  async #patiently<T>(what: string, work: () => T): Promise<T> {
    const deadline = performance.now() + this.#waitMsMax;
    for (;;) {
      if (this.#closed) throw new UnderstudyError('STORE_FAILED', 'the store has been closed');
      try {
        return work();
      } catch (error) {
        if (!isBusy(error) || performance.now() > deadline) throw storeFailure(this.#path, what, error);
      }
      await delay(Math.random() * BUSY_PAUSE_MS_MAX);
    }
  }

  #pragma(name: string): unknown {
    const row: unknown = this.#database.prepare(`PRAGMA ${name}`).get();
    return typeof row === 'object' && row !== null ? Object.values(row)[0] : undefined;
  }

  async #prepareFile(): Promise<void> {
    // Counts for a file that has no page yet; an older one gets it when it is compacted.
    await this.#patiently('open', () => this.#database.exec(`PRAGMA auto_vacuum = ${INCREMENTAL}`));
    const mode = await this.#patiently('open', () => this.#pragma('journal_mode = WAL'));
    if (mode !== 'wal') throw this.#unfit(`its file system gives no shared memory (journal mode ${mode})`);
    // The build of this package syncs less in this mode unless it is told so.
    this.#database.exec(`PRAGMA synchronous = FULL; PRAGMA journal_size_limit = ${LOG_BYTES_MAX}`);
    await this.write(() => {
      const id = this.#pragma('application_id');
      const version = this.#pragma('user_version');
      if (id === APPLICATION_ID && version === VERSION) return this.#checkCounter();
      if (id === APPLICATION_ID) throw this.#unfit(`it is of version ${version}, and this program knows ${VERSION}`);
      const { tables } = this.#database.prepare('SELECT count(*) AS tables FROM sqlite_schema').get() as {
        tables: number;
      };
      if (id !== 0 || tables > 0) throw this.#unfit('it is the database of another program');
      this.#database.exec(TABLES);
    });
    this.#compact();
  }

  /**
   * Room is all that can be gained by it, so it is left to the next start when others are at the file or the disk is
   * full.
   */
  #compact(): void {
    const freeBytes = Number(this.#pragma('freelist_count')) * Number(this.#pragma('page_size'));
    if (freeBytes <= FREE_BYTES_MAX) return;
    try {
      this.#database.exec('VACUUM');
    } catch (error) {
      if (!isOperating(error)) throw error;
    }
  }

  /** Without it no revision can be told from one that another program has written. */
  #checkCounter(): void {
    const counted = `SELECT count(*) AS good FROM counter WHERE revision BETWEEN 0 AND ${REVISION_MAX}`;
    const { good } = this.#database.prepare(counted).get() as { good: number };
    if (good !== 1) throw this.#unfit('its counter of revisions is damaged; restore it from a backup');
  }

  #unfit(why: string): UnderstudyError {
    return new UnderstudyError('STORE_FAILED', `${this.#path} cannot be the store: ${why}`);
  }
}
