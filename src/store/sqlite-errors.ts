// What SQLite says when something fails (https://www.sqlite.org/rescode.html), told as the store's error.
import { getSystemErrorName } from 'node:util';
import { codeOf, messageOf, UnderstudyError } from '../base/mod.ts';

const SQLITE_BUSY = 5;
const SQLITE_PROTOCOL = 15;

interface SqliteError extends Error {
  /** Extended result code. */
  readonly errcode: number;
  readonly sqliteCodeName?: string;
  /** errno of the system call that failed; absent or 0 when none did. */
  readonly systemErrno?: number;
}

function isSqliteError(error: unknown): error is SqliteError {
  return error instanceof Error && typeof (error as { errcode?: unknown }).errcode === 'number';
}

/** Whether somebody else is at it just now, so that the same is worth trying again. */
export function isBusy(error: unknown): boolean {
  if (!isSqliteError(error)) return false;
  const primary = error.errcode & 0xff;
  return primary === SQLITE_BUSY || primary === SQLITE_PROTOCOL;
}

/** Whether the world did it, and not a defect of ours. */
export function isOperating(error: unknown): boolean {
  if (isSqliteError(error)) return true;
  // Of node:fs.
  return error instanceof Error && typeof (error as NodeJS.ErrnoException).errno === 'number';
}

function systemNameOf(error: SqliteError): string | null {
  return error.systemErrno ? getSystemErrorName(-error.systemErrno) : null;
}

/** The error to throw instead: STORE_FAILED for what the world did, the same error for anything else. */
export function storeFailure(path: string, what: string, error: unknown): unknown {
  if (codeOf(error) !== null || !isOperating(error)) return error;
  const names = isSqliteError(error) ? [error.sqliteCodeName, systemNameOf(error)].filter(Boolean).join(', ') : '';
  const suffix = names === '' ? '' : ` (${names})`;
  return new UnderstudyError('STORE_FAILED', `cannot ${what} ${path}: ${messageOf(error)}${suffix}`, { cause: error });
}
