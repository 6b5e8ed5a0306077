// Keeps what is written durable from time to time, and the resume record true: only blocks written before a flush that
// succeeded are in it.
import { type Clock, errnoOf, limits, messageOf, type UnderstudyError } from '../../base/mod.ts';
import { fileError } from '../device/file.ts';
import type { Ring } from '../ring/mod.ts';
import { type ResumeRecord, removeRecord, saveRecord, type Target } from '../target/mod.ts';
import type { Ledger } from './ledger.ts';
import type { ConsumerTask } from './options.ts';

export interface Progress {
  readonly resumable: boolean;
}

export class ProgressKeeper {
  readonly #task: ConsumerTask;
  readonly #ring: Ring;
  readonly #ledger: Ledger;
  readonly #target: Target;
  readonly #clock: Clock;
  #keptAtMs: number;
  #saved = false;
  #spoilt = false;
  /** Why no record is kept any more, although one was asked for. */
  #unrecorded: string | null = null;

  constructor(task: ConsumerTask, ring: Ring, ledger: Ledger, target: Target, clock: Clock) {
    this.#task = task;
    this.#ring = ring;
    this.#ledger = ledger;
    this.#target = target;
    this.#clock = clock;
    this.#keptAtMs = clock.nowMs();
  }

  get progress(): Progress {
    return { resumable: this.#saved && !this.#spoilt };
  }

  get notes(): readonly string[] {
    return this.#unrecorded === null ? [] : [this.#unrecorded];
  }

  /**
   * Makes a record durable that names the target and no block yet, before the first byte is written: without it nobody
   * could tell what an interrupted copy left from somebody else's data. What is gone on with has one.
   */
  begin(): void {
    if (this.#target.resumption?.record != null) return;
    const isFile = this.#task.target.kind === 'file';
    if (!isFile && !this.#task.resumable) {
      this.end();
      return;
    }
    const failure = this.#save(0, { done: new Uint8Array(0), digests: new Uint8Array(0) });
    // The record of a file lies beside it, and is what tells the provisional file from somebody else's.
    if (failure !== null && isFile) throw failure;
  }

  /** Flushes and records when it is time, or when `now`. Writes may be in flight: they are not in the ledger yet. */
  keep(now: boolean): void {
    if (!this.#task.resumable || this.#unrecorded !== null) {
      if (now) this.#target.device.flush();
      return;
    }
    if (!now && this.#clock.nowMs() - this.#keptAtMs < limits.FLUSH_INTERVAL_MS) return;
    const known = this.#ring.get('sizeKnown') === 1;
    const blockCount = known ? this.#ring.get('blockCount') : this.#ring.geometry.blockCapacity;
    // Taken before the flush: what is written meanwhile belongs to the next record.
    const snapshot = this.#ledger.snapshot(blockCount);
    this.#target.device.flush();
    if (this.#save(blockCount, snapshot) === null) this.#saved = true;
    this.#keptAtMs = this.#clock.nowMs();
  }

  /** Why the record cannot be kept (no home folder, a read-only one, no room), or null: the copy goes on without. */
  #save(blockCount: number, blocks: Pick<ResumeRecord, 'done' | 'digests'>): UnderstudyError | null {
    const place = this.#target.record;
    try {
      saveRecord(place, this.#recordOf(blockCount, blocks));
      return null;
    } catch (cause) {
      const errno = errnoOf(cause);
      if (errno === null) throw cause;
      const failure = fileError('target', `record progress in ${place.shownPath}`, errno, cause);
      this.#unrecorded = `cannot be resumed: ${failure.message}`;
      return failure;
    }
  }

  #recordOf(blockCount: number, blocks: Pick<ResumeRecord, 'done' | 'digests'>): Omit<ResumeRecord, 'version'> {
    // What a damaged ring says must not get into a record.
    this.#ring.requireDescription();
    const known = this.#ring.get('sizeKnown') === 1;
    return {
      target: this.#target.stamp,
      sourceIdentity: this.#task.source.identity,
      fingerprint: this.#ring.getText('fingerprint'),
      sourceBytes: known ? this.#ring.getDouble('sourceBytes') : 0,
      endBytes: this.#task.extent.endBytes ?? 0,
      blockBytes: this.#ring.geometry.blockBytes,
      blockCount,
      missingCount: this.#ledger.missingOf(blockCount),
      ...blocks,
    };
  }

  /** The target is complete. A record that cannot be removed does no harm: all that it lists is there. */
  end(): void {
    try {
      removeRecord(this.#target.record);
    } catch (cause) {
      if (errnoOf(cause) === null) throw cause;
      this.#unrecorded ??= `its record could not be removed: ${messageOf(cause)}`;
    }
  }

  /** The last try to keep failed: an older record, if any, still tells the truth about older blocks. */
  spoil(reason: string): void {
    this.#spoilt = !this.#saved;
    this.#unrecorded ??= `the last progress could not be recorded: ${reason}`;
  }
}
