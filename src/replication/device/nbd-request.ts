// What an NBD device keeps of the requests under way, and what their failures mean.
import { limits, UnderstudyError } from '../../base/mod.ts';
import { LibnbdError, type NbdHandle } from '../../linux/mod.ts';
import { type DeviceRole, deviceCode, type Extent, type Transfer } from './contract.ts';

export type RequestKind = Transfer['kind'] | 'zero' | 'flush' | 'extents';

/** Something asked by the caller, done when all its parts are. */
export interface Job {
  /** Null for flush, zero and extents, whose callers wait. */
  readonly transfer: Transfer | null;
  readonly kind: RequestKind;
  bytes: number;
  partsLeft: number;
  error: UnderstudyError | null;
}

export interface Part {
  readonly job: Job;
  /** Sends the request and returns its cookie; called again on a new connection. */
  readonly start: (handle: NbdHandle) => number;
}

export function newJob(transfer: Transfer | null, kind: RequestKind, bytes: number): Job {
  return { transfer, kind, bytes, partsLeft: 0, error: null };
}

export function beyondEnd(uri: string, sizeBytes: number): UnderstudyError {
  return new UnderstudyError('TARGET_TOO_SMALL', `write ${uri}: it ends at byte ${sizeBytes}`);
}

/** A server's refusal of one request, in the role of the device. NBD knows a dozen error numbers ("Error values"). */
export function requestError(uri: string, role: DeviceRole, kind: RequestKind, error: LibnbdError): UnderstudyError {
  return new UnderstudyError(requestCode(role, kind, error.code), `${kind} ${uri}: ${error.message}`, { cause: error });
}

function requestCode(role: DeviceRole, kind: RequestKind, errno: string): UnderstudyError['code'] {
  if (kind === 'flush') return 'TARGET_FLUSH_FAILED';
  const changes = kind === 'write' || kind === 'zero';
  if (changes && (errno === 'ENOSPC' || errno === 'EDQUOT')) return 'TARGET_FULL';
  if (changes && (errno === 'EPERM' || errno === 'EROFS')) return 'TARGET_READ_ONLY';
  return deviceCode(role, 'IO');
}

/** Whether a request failed because the server has no such operation, or none of this length. */
export function isUnsupported(error: UnderstudyError): boolean {
  const code = error.cause instanceof LibnbdError ? error.cause.code : '';
  return code === 'ENOTSUP' || code === 'EOPNOTSUPP' || code === 'EINVAL';
}

export interface Run {
  readonly lengthBytes: number;
  readonly zero: boolean;
}

/** Extents that grow to cover a range, neighbours of a kind merged. */
export class ExtentList {
  readonly extents: Extent[] = [];
  readonly #endBytes: number;
  #atBytes: number;

  constructor(offsetBytes: number, lengthBytes: number) {
    this.#atBytes = offsetBytes;
    this.#endBytes = offsetBytes + lengthBytes;
  }

  get nextBytes(): number {
    return this.#atBytes;
  }

  get bytesLeft(): number {
    return this.#endBytes - this.#atBytes;
  }

  /** Appends a run; what reaches beyond the range is cut off. */
  add(run: Run): void {
    const lengthBytes = Math.min(run.lengthBytes, this.bytesLeft);
    if (lengthBytes === 0) return;
    const last = this.extents.at(-1);
    if (last?.zero === run.zero) {
      this.extents[this.extents.length - 1] = { ...last, lengthBytes: last.lengthBytes + lengthBytes };
    } else {
      this.extents.push({ offsetBytes: this.#atBytes, lengthBytes, zero: run.zero });
    }
    this.#atBytes += lengthBytes;
  }
}

/** How long a server has moved no byte while requests were open and we looked. */
export class SilenceClock {
  /** Silence that is too much, in milliseconds. */
  limitMs: number;
  #silentMs = 0;
  #lookedAtMs = 0;

  constructor(limitMs: number) {
    this.limitMs = limitMs;
  }

  /** Look at the server at least this often. */
  get sliceMs(): number {
    return Math.min(limits.WAIT_MS_MAX, Math.ceil(this.limitMs / 4));
  }

  /** A request goes out and no other is open. */
  start(nowMs: number): void {
    this.#silentMs = 0;
    this.#lookedAtMs = nowMs;
  }

  /**
   * After a look: true when the silence is too long. The time since the last look counts for one slice at most: when the caller
   * was busy elsewhere, or this process was stopped, an answer may have lain in the socket all the while.
   */
  look(nowMs: number, moved: boolean): boolean {
    this.#silentMs = moved ? 0 : this.#silentMs + Math.min(nowMs - this.#lookedAtMs, this.sliceMs);
    this.#lookedAtMs = nowMs;
    return this.#silentMs >= this.limitMs;
  }
}
