// The store's contract over a backend: what every driver checks, says and promises alike.
import { assert, shown, UnderstudyError } from '../base/mod.ts';
import type { Backend, Look, Row, RowChange } from './backend.ts';
import { type Change, FOREIGN, type Json, type Lease, type Store, type StoredRecord } from './contract.ts';
import { acquire, type LeaseClock, release, renew } from './lease-rules.ts';
import {
  checkExpected,
  checkKey,
  checkLease,
  checkPrefix,
  encodeValue,
  isKey,
  VALUE_BYTES_MAX,
} from './record-rules.ts';

/** A value is read when it is asked for: one that cannot be read fails nobody who does not need it. */
function recordOf<T>({ key, text, revision: written }: Row): StoredRecord<T> {
  const revision = isKey(key) && written > 0 ? written : FOREIGN;
  let value: { readonly is: T } | null = null;
  const record = {
    key,
    get value(): T {
      value ??= { is: readValue<T>(key, text, revision) };
      return value.is;
    },
    revision,
  };
  // Not a part of what is compared or printed.
  return Object.defineProperty(record, 'text', { value: text }) as StoredRecord<T>;
}

function changeOf<T>({ key, text, revision }: RowChange): Change<T> {
  return text === null ? { key, value: null, revision } : recordOf<T>({ key, text, revision });
}

/** @throws RECORD_UNUSABLE */
function readValue<T>(key: string, text: string, revision: number): T {
  const unusable = (why: string, cause?: unknown): UnderstudyError =>
    new UnderstudyError('RECORD_UNUSABLE', `the record ${shown(key.slice(0, 200))} cannot be used: ${why}`, { cause });
  if (revision === FOREIGN) throw unusable('its key or its revision is not one that this store gives');
  if (text.length > VALUE_BYTES_MAX) throw unusable(`it has ${text.length} characters, at most ${VALUE_BYTES_MAX}`);
  let value: T | null;
  try {
    value = JSON.parse(text) as T | null;
  } catch (cause) {
    throw unusable('it is not JSON', cause);
  }
  if (value === null) throw unusable('it is null');
  return value;
}

function conflict(key: string, expected: number, found: number): UnderstudyError {
  const is = found === 0 ? 'does not exist' : `has the revision ${found}`;
  const wanted = expected === 0 ? 'was expected not to exist' : `was expected at ${expected}`;
  return new UnderstudyError('STORE_CONFLICT', `${key} ${is}, but ${wanted}`, { details: { expected, found } });
}

export class BackedStore implements Store {
  readonly #backend: Backend;
  readonly #clock: LeaseClock;
  #closed = false;

  constructor(backend: Backend, clock: LeaseClock) {
    this.#backend = backend;
    this.#clock = clock;
  }

  async get<T = Json>(key: string): Promise<StoredRecord<T> | null> {
    checkKey(key);
    this.#checkOpen();
    const row = await this.#backend.get(key);
    return row === null ? null : recordOf<T>(row);
  }

  async list<T = Json>(prefix: string): Promise<readonly StoredRecord<T>[]> {
    checkPrefix(prefix);
    this.#checkOpen();
    return (await this.#backend.list(prefix)).map((row) => recordOf<T>(row));
  }

  async put(key: string, value: unknown, expected: number): Promise<number> {
    checkKey(key);
    checkExpected(expected, 0);
    return this.#write(key, encodeValue(key, value), expected);
  }

  async delete(key: string, expected: number): Promise<void> {
    if (expected === FOREIGN) return this.#deleteForeign(key);
    checkKey(key);
    checkExpected(expected, 1);
    await this.#write(key, null, expected);
  }

  async #deleteForeign(key: string): Promise<void> {
    this.#checkOpen();
    const row = await this.#backend.get(key);
    const found = row === null ? 0 : recordOf(row).revision;
    if (row === null || found !== FOREIGN) throw conflict(key, FOREIGN, found);
    await this.#write(key, null, row.revision);
  }

  watch<T = Json>(prefix: string, signal: AbortSignal): AsyncIterable<Change<T>> {
    checkPrefix(prefix);
    this.#checkOpen();
    return this.#changes<T>(prefix, signal);
  }

  async lease(name: string, holder: string, ttlMs: number, above = 0): Promise<Lease | null> {
    checkLease(name, holder, ttlMs);
    this.#checkOpen();
    const row = await this.#backend.changeLease(name, acquire(holder, ttlMs, this.#clock, above));
    return row === null ? null : this.#leaseOf(name, holder, row.epoch, ttlMs);
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#backend.bell.ring();
    await this.#backend.close();
  }

  #checkOpen(): void {
    if (this.#closed) throw new UnderstudyError('STORE_FAILED', 'the store has been closed');
  }

  async #write(key: string, text: string | null, expected: number): Promise<number> {
    this.#checkOpen();
    const outcome = await this.#backend.write(key, text, expected);
    if ('found' in outcome) throw conflict(key, expected, outcome.found);
    assert(Number.isSafeInteger(outcome.revision), 'revisions can be counted');
    this.#backend.bell.ring();
    return outcome.revision;
  }

  async *#changes<T>(prefix: string, signal: AbortSignal): AsyncGenerator<Change<T>, void, undefined> {
    const { bell, lookMs, deletionsKept } = this.#backend;
    let after = 0;
    /** Deletions before the first look are not told: nobody here has seen those records. */
    let begun: number | null = null;
    while (!signal.aborted && !this.#closed) {
      const { rings } = bell;
      const look = await this.#lookUnlessClosed(prefix, after, begun ?? Number.MAX_SAFE_INTEGER);
      if (look === null || signal.aborted) return;
      const { now, change } = look;
      begun ??= now;
      if (Math.max(after, begun) < now - deletionsKept) {
        throw new UnderstudyError('STORE_FAILED', `the reader of changes under "${prefix}" fell too far behind`);
      }
      after = change?.revision ?? now;
      if (change === null) await bell.wait(rings, signal, lookMs);
      else yield changeOf<T>(change);
    }
  }

  async #lookUnlessClosed(prefix: string, after: number, deletedAfter: number): Promise<Look | null> {
    try {
      const look = await this.#backend.changeAfter(prefix, after, deletedAfter);
      return this.#closed ? null : look;
    } catch (error) {
      // A backend that is closed while it looks may fail in any way; the watch was to end, and does.
      if (this.#closed) return null;
      throw error;
    }
  }

  #leaseOf(name: string, holder: string, epoch: number, ttlMs: number): Lease {
    return {
      name,
      holder,
      epoch,
      renew: async () => {
        this.#checkOpen();
        const row = await this.#backend.changeLease(name, renew(epoch, ttlMs, this.#clock));
        if (row === null)
          throw new UnderstudyError('LEASE_LOST', `${holder} has lost the lease ${name} (epoch ${epoch})`);
      },
      release: async () => {
        this.#checkOpen();
        await this.#backend.changeLease(name, release(epoch));
      },
    };
  }
}
