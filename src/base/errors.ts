// The one registry of operating errors. Every code has an exit status, an HTTP status, a retry class and a meaning;
// docs/errors.md is held equal to it by a test. Programmer errors are not here: they assert.

import { constants } from 'node:os';
import { getSystemErrorMap } from 'node:util';
import { shown, shownLines, withoutSecrets } from './shown.ts';

/** When a caller may try the same call again. */
export type Retry = 'never' | 'backoff' | 'after-change';

interface ErrorClass {
  readonly exit: number;
  readonly http: number;
  readonly retry: Retry;
  readonly meaning: string;
}

function of(exit: number, http: number, retry: Retry, meaning: string): ErrorClass {
  return { exit, http, retry, meaning };
}

/**
 * Exit statuses: 2 usage, 3 source, 4 target, 5 integrity, 6 resume, 7 resources of this machine, 8 refused because of
 * the state
 * of things, 9 a part of the installation failed, 10 the controller cannot be asked, 130 interrupted.
 */
export const errorRegistry = {
  USAGE: of(2, 400, 'after-change', 'The command line or the options contradict themselves or are out of range.'),
  SOURCE_NOT_FOUND: of(3, 404, 'after-change', 'The source does not exist.'),
  SOURCE_UNREADABLE: of(3, 403, 'after-change', 'The source exists but this user may not read it.'),
  SOURCE_KIND: of(3, 400, 'after-change', 'The source is a directory, a socket or something else that has no blocks.'),
  SOURCE_EMPTY: of(3, 400, 'after-change', 'The source holds no bytes.'),
  SOURCE_TOO_LARGE: of(3, 413, 'after-change', 'The source has more blocks than a ring can number; use larger blocks.'),
  SOURCE_READ_FAILED: of(3, 502, 'after-change', 'A part of the source could not be read, also after retries.'),
  SOURCE_CHANGED: of(3, 409, 'backoff', 'The source changed during the copy, so the copy is inconsistent.'),
  SOURCE_CORRUPT: of(3, 422, 'never', 'The source violates its format, or ends too early.'),
  SOURCE_UNAVAILABLE: of(3, 503, 'backoff', 'The server of the source cannot be reached, or went away.'),
  SOURCE_TIMEOUT: of(3, 504, 'backoff', 'The source did not answer within the time allowed.'),
  SOURCE_NOT_REWINDABLE: of(
    3,
    409,
    'never',
    'The source can be read only once, and the data needed have already been read.',
  ),
  FORMAT_UNKNOWN: of(
    3,
    415,
    'after-change',
    'The source is not an image, does not contain exactly one image, or is in a format that cannot be read from its place.',
  ),
  EXTENT_UNSUPPORTED: of(3, 422, 'after-change', 'The requested extent cannot be determined for this source.'),
  TARGET_NOT_FOUND: of(4, 404, 'after-change', 'The target or its folder does not exist.'),
  TARGET_KIND: of(4, 400, 'after-change', 'The target is a directory or something else that cannot hold an image.'),
  TARGET_PERMISSION: of(4, 403, 'after-change', 'This user may not write the target.'),
  TARGET_READ_ONLY: of(4, 403, 'after-change', 'The target is read-only.'),
  TARGET_TOO_SMALL: of(4, 413, 'after-change', 'The target is smaller than what is to be copied.'),
  TARGET_IN_USE: of(
    4,
    409,
    'after-change',
    'The target is mounted, is swap, has a mounted partition, or is held by the kernel or another program.',
  ),
  TARGET_IS_SOURCE: of(4, 409, 'after-change', 'Target and source are the same device or file.'),
  TARGET_BUSY: of(4, 409, 'backoff', 'Another copy is writing this target.'),
  TARGET_NOT_CONFIRMED: of(
    4,
    409,
    'after-change',
    'The target holds data, or the source is unrecognised, and nobody confirmed the copy.',
  ),
  TARGET_PARTIAL_FOREIGN: of(4, 409, 'after-change', 'NAME.partial of the target exists, but was not made by a copy.'),
  TARGET_UNSAFE: of(
    4,
    409,
    'after-change',
    'Another user has a hand in the target: a link of theirs leads to it, or it was moved or replaced during the copy.',
  ),
  TARGET_FULL: of(4, 507, 'after-change', 'The storage of the target is full, or does not support files of that size.'),
  TARGET_WRITE_FAILED: of(4, 502, 'after-change', 'A write to the target failed.'),
  TARGET_FLUSH_FAILED: of(4, 502, 'after-change', 'The target could not be flushed; written data may be lost.'),
  TARGET_UNAVAILABLE: of(4, 503, 'backoff', 'The server of the target cannot be reached, or went away.'),
  TARGET_TIMEOUT: of(4, 504, 'backoff', 'The target did not answer within the time allowed.'),
  VERIFY_MISMATCH: of(5, 422, 'never', 'Bytes read back from the target differ from those that were copied.'),
  DIGEST_MISMATCH: of(5, 422, 'never', 'The digest of the image is not the expected one.'),
  RESUME_NO_RECORD: of(6, 404, 'after-change', 'There is no record of an interrupted copy to this target.'),
  RESUME_SOURCE_DIFFERS: of(6, 409, 'after-change', 'The source is not the one that the interrupted copy read.'),
  RESUME_RECORD_INVALID: of(
    6,
    422,
    'after-change',
    'The record of the interrupted copy is damaged or of another version.',
  ),
  RING_MEMORY: of(7, 507, 'after-change', 'Shared memory has no room for the ring.'),
  RING_FOLDER: of(7, 403, 'after-change', 'The folder for shared memory is not a private folder of this user.'),
  RING_VERSION: of(7, 409, 'backoff', 'Another version of the program is copying this source.'),
  RING_BROKEN: of(
    7,
    500,
    'backoff',
    'The shared memory of a copy was cut short or overwritten by another program while it was used.',
  ),
  RING_CONSUMERS_MAX: of(
    7,
    429,
    'backoff',
    'The source can be read only once, and has more targets than can be written at a time.',
  ),
  PRODUCER_FAILED: of(7, 500, 'backoff', 'The process that reads the source could not be started, or kept dying.'),
  DIGEST_FILE_INVALID: of(
    2,
    422,
    'after-change',
    'The digest file cannot be read, or does not list exactly one SHA-256 digest for the source.',
  ),
  CONFIG_INVALID: of(
    2,
    422,
    'after-change',
    'The configuration has errors; each is listed with file, line and column.',
  ),
  NOT_READY: of(
    8,
    409,
    'after-change',
    'This machine lacks something that the configuration needs; each lack is listed.',
  ),
  CONFIG_UNREADABLE: of(2, 404, 'after-change', 'The configuration, or a file that it names, cannot be read.'),
  RELOAD_REFUSED: of(
    8,
    409,
    'after-change',
    'The configuration changes something that stays as it is while the controller runs; each is listed.',
  ),
  HOST_UNKNOWN: of(2, 404, 'after-change', 'The configuration has no host of this name.'),
  SERVICE_UNKNOWN: of(2, 404, 'after-change', 'The configuration has no service of this name.'),
  VOLUME_UNKNOWN: of(2, 404, 'after-change', 'The storage node has no volume of this name.'),
  ENGAGEMENT_UNKNOWN: of(2, 404, 'after-change', 'There is no such engagement.'),
  STORE_INVALID: of(1, 400, 'never', 'A key or a value is outside of what the store takes.'),
  STORE_CONFLICT: of(8, 409, 'backoff', 'The record has been changed meanwhile.'),
  STORE_FAILED: of(9, 500, 'backoff', 'The store could not read or write.'),
  RECORD_UNUSABLE: of(
    8,
    409,
    'after-change',
    'A record of the store is damaged, of another version, or refers to something that does not exist; nothing is done by it.',
  ),
  STATE_LOST: of(
    8,
    409,
    'after-change',
    'The state folder, or the store in it, is not the one that belongs to the volumes; "understudy recover" reads back what they hold.',
  ),
  TRIES_EXHAUSTED: of(
    9,
    500,
    'after-change',
    'A step was begun several times and did not end: each time the controller ended while it was under way.',
  ),
  LEASE_LOST: of(8, 409, 'backoff', 'Somebody else has the lease, or it has expired.'),
  EPOCH_STALE: of(8, 409, 'never', 'The caller has been replaced by another controller.'),
  VOLUME_ATTACHED: of(8, 409, 'after-change', 'The volume is attached to a host, so nothing else may write it.'),
  VOLUME_BUSY: of(8, 409, 'backoff', 'Another operation is writing the volume.'),
  VOLUME_STATE: of(8, 409, 'after-change', 'The content of the volume does not allow what was asked.'),
  STORAGE_SPACE: of(9, 507, 'after-change', 'The storage node has no room for a backup or for changed blocks.'),
  STORAGE_FAILED: of(9, 502, 'backoff', 'The storage node or its daemon refused, failed or went away.'),
  IMAGE_UNSUPPORTED: of(3, 422, 'after-change', 'The image holds no file system whose identity can be changed.'),
  IMAGE_DAMAGED: of(5, 422, 'never', 'The file system in the image is damaged beyond its journal.'),
  IDENTITY_FAILED: of(9, 500, 'backoff', 'Changing the identity in the image failed part-way; it may not be booted.'),
  IDENTITY_UNKNOWN: of(8, 409, 'after-change', 'The image holds something of which nobody said what it means twice.'),
  IDENTITY_UNVERIFIED: of(
    5,
    500,
    'never',
    'The image still shows something of the old identity, or not all of the new.',
  ),
  POWER_FAILED: of(9, 502, 'backoff', 'The relay refused or failed.'),
  POWER_TIMEOUT: of(
    9,
    504,
    'backoff',
    'The relay did not answer in time, or the host did not reach the state asked for.',
  ),
  POWER_UNKNOWN: of(8, 503, 'after-change', 'Nobody can tell whether the host is on; the plan stops.'),
  DIRECTOR_FAILED: of(9, 502, 'backoff', 'The director refused or failed.'),
  DIRECTOR_TIMEOUT: of(
    9,
    504,
    'backoff',
    'The director did not answer, or did not reach the state asked for, in time.',
  ),
  METRICS_FAILED: of(9, 502, 'backoff', 'Numbers that others have measured could not be had.'),
  NETWORK_FAILED: of(9, 502, 'backoff', 'The network cannot be looked at from this machine.'),
  ADDRESS_IN_USE: of(8, 409, 'after-change', 'Another computer answers at the address that the understudy is to have.'),
  PROVE_FAILED: of(9, 504, 'after-change', 'The understudy did not come up as who it should be.'),
  CALL_TIMEOUT: of(9, 504, 'backoff', 'A part of the installation did not answer within its time.'),
  ENGAGEMENT_REFUSED: of(8, 409, 'after-change', 'The state of service, lead or spare does not allow it.'),
  API_UNAUTHORIZED: of(10, 401, 'after-change', 'The token is missing, not known, revoked or expired.'),
  API_FORBIDDEN: of(10, 403, 'after-change', 'The caller is known, but its role or its services do not allow this.'),
  API_INVALID: of(2, 400, 'after-change', 'The request is not what the interface takes.'),
  API_TOO_LARGE: of(2, 413, 'after-change', 'The request is longer than the interface takes.'),
  API_ADDRESS: of(8, 409, 'after-change', 'The interface cannot listen at the address of the configuration.'),
  API_BUSY: of(
    10,
    429,
    'backoff',
    'The caller has as many connections or readers of events as it may have, or asks too often.',
  ),
  API_TIMEOUT: of(
    10,
    504,
    'backoff',
    'The controller did not answer within the time allowed; it may still do what was asked.',
  ),
  API_NOT_FOUND: of(10, 404, 'after-change', 'The interface has no such path.'),
  API_UNAVAILABLE: of(10, 503, 'backoff', 'The controller cannot be reached.'),
  API_UNTRUSTED: of(
    10,
    502,
    'after-change',
    'The certificate of the controller is not signed by the authority that is trusted, or is not for that name.',
  ),
  API_INSECURE: of(2, 400, 'after-change', 'The connection would not be encrypted, and nobody allowed that.'),
  CERTIFICATE_INVALID: of(
    2,
    422,
    'after-change',
    'A certificate, a key or their folder cannot be used: others may read it, it is damaged, or it is not the right one.',
  ),
  CERTIFICATE_UNKNOWN: of(2, 404, 'after-change', 'There is no certificate of this name.'),
  CERTIFICATE_EXISTS: of(8, 409, 'after-change', 'There is an authority or a certificate of this name already.'),
  CERTIFICATE_FAILED: of(9, 502, 'after-change', 'openssl(1) could not make a certificate.'),
  AUTHORITY_KEY_MISSING: of(8, 409, 'after-change', 'The key of the authority is needed, and is not there.'),
  CONTROLLER_RUNNING: of(8, 409, 'backoff', 'Another controller has the lease of this installation.'),
  TOOL_MISSING: of(7, 501, 'after-change', 'A program or library that is needed is not installed.'),
  RESOURCE_LIMIT: of(
    7,
    503,
    'after-change',
    'This process may have no more open files, memory or threads (ulimit), or the machine has no more.',
  ),
  OUTPUT_FAILED: of(7, 507, 'after-change', 'The result could not be written to standard output.'),
  INTERRUPTED: of(130, 499, 'after-change', 'The copy was stopped by a signal or by its caller; it can be resumed.'),
} as const satisfies Record<string, ErrorClass>;

export type ErrorCode = keyof typeof errorRegistry;

/**
 * Failures of a copy after which going on from what was written can succeed: whatever broke off the reading or the
 * writing. What says that the source, or what was written of it, is wrong is not among them: going on can only fail
 * again.
 */
const RESUMABLE: ReadonlySet<string> = new Set<ErrorCode>([
  'RING_BROKEN',
  'SOURCE_UNREADABLE',
  'SOURCE_READ_FAILED',
  'SOURCE_UNAVAILABLE',
  'SOURCE_TIMEOUT',
  'TARGET_FULL',
  'TARGET_WRITE_FAILED',
  'TARGET_FLUSH_FAILED',
  'TARGET_UNAVAILABLE',
  'TARGET_TIMEOUT',
  'VERIFY_MISMATCH',
  'RING_MEMORY',
  'PRODUCER_FAILED',
  'TOOL_MISSING',
  'INTERRUPTED',
]);

/** Whether a copy that ended with this code may be gone on with (`--resume`) where a record of it was kept. */
export function resumeHelps(code: string): boolean {
  return RESUMABLE.has(code) || code === 'INTERNAL';
}

/** Failures that say of the whole copy that it is of no use, whatever is on the target already. */
const WORTHLESS: ReadonlySet<string> = new Set<ErrorCode>([
  'SOURCE_CHANGED',
  'SOURCE_CORRUPT',
  'FORMAT_UNKNOWN',
  'DIGEST_MISMATCH',
]);

/** Whether what a copy has written is worth nothing after this code, so that only its room is lost with it. */
export function leavesNothingOfUse(code: string): boolean {
  return WORTHLESS.has(code);
}

/** Exit status of an error that is in no registry: a defect of the program. */
export const EXIT_INTERNAL = 1;

export function isErrorCode(text: string): text is ErrorCode {
  return Object.hasOwn(errorRegistry, text);
}

interface ErrorOptions {
  readonly cause?: unknown;
  readonly details?: Readonly<Record<string, string | number>>;
}

/** Messages of these are lists, a line for each entry. */
const LISTS: ReadonlySet<ErrorCode> = new Set(['CONFIG_INVALID', 'NOT_READY', 'RELOAD_REFUSED', 'IDENTITY_UNKNOWN']);

/** Names and words of others are in messages, and messages go to terminals, logs, events and clients. */
function told(code: ErrorCode, message: string): string {
  const text = withoutSecrets(message);
  return LISTS.has(code) ? shownLines(text) : shown(text);
}

/**
 * An operating error: what was done, with a stable code. Match by code, never by class or message: errors cross
 * processes.
 */
export class UnderstudyError extends Error {
  readonly code: ErrorCode;
  readonly details: Readonly<Record<string, string | number>>;

  constructor(code: ErrorCode, message: string, options: ErrorOptions = {}) {
    super(told(code, message), options.cause === undefined ? {} : { cause: options.cause });
    this.name = 'UnderstudyError';
    this.code = code;
    this.details = options.details ?? {};
  }

  get retry(): Retry {
    return errorRegistry[this.code].retry;
  }
}

/** The registered code of an error of ours, or null for anything else. */
export function codeOf(error: unknown): ErrorCode | null {
  const code = error instanceof Error ? (error as { code?: unknown }).code : null;
  return typeof code === 'string' && isErrorCode(code) ? code : null;
}

/** The system's error name ('ENOSPC') of a Node.js or libc error, or null. */
export function errnoOf(error: unknown): string | null {
  const code = error instanceof Error ? (error as { code?: unknown }).code : null;
  return typeof code === 'string' && /^E[A-Z0-9]+$/.test(code) ? code : null;
}

const LIMITS: Readonly<Record<string, string>> = {
  EMFILE: 'this process may not open more files; raise the limit (ulimit -n)',
  ENFILE: 'the machine has no more open files to give (fs.file-max)',
  ENOMEM: 'the machine or the limit of this process (ulimit -v) has no more memory to give',
  ERR_WORKER_INIT_FAILED: 'this process may start no more threads (ulimit -u), or has no memory for them',
  ERR_WORKER_OUT_OF_MEMORY: 'a thread of this process had no more memory',
};

/** A system's refusal for want of something that any call needs, as RESOURCE_LIMIT; every other error as it is. */
export function withoutResources(error: unknown): unknown {
  const code = error instanceof Error && codeOf(error) === null ? (error as { code?: unknown }).code : null;
  const why = typeof code === 'string' && Object.hasOwn(LIMITS, code) ? LIMITS[code] : undefined;
  return why === undefined ? error : new UnderstudyError('RESOURCE_LIMIT', `${why} (${code})`, { cause: error });
}

/** "ENOENT (no such file or directory)": what a failed system call said. */
export function reasonOf(errno: string): string {
  if (errno === 'EFBIG') return 'EFBIG (larger than a file may be here; ulimit -f shows the limit of this process)';
  const number = constants.errno[errno as keyof typeof constants.errno];
  const words = number === undefined ? undefined : getSystemErrorMap().get(-number)?.[1];
  return words === undefined ? errno : `${errno} (${words})`;
}

export function messageOf(error: unknown): string {
  if (error instanceof Error) return error.message;
  // Whatever was thrown may have a `toString` that throws.
  return typeof error === 'object' || typeof error === 'function' ? 'something that is not an error' : String(error);
}
