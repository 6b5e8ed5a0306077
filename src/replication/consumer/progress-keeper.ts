// Keeps what is written durable from time to time, and the resume record true: only blocks written before a flush that
// succeeded are in it.
import { type Clock, limits, messageOf, UnderstudyError } from '../../base/mod.ts';
import type { Ring } from '../ring/mod.ts';
import { type ResumeRecord, removeRecord, saveRecord, type Target } from '../target/mod.ts';
import type { Ledger } from './ledger.ts';
import type { ConsumerTask } from './options.ts';

export interface Progress {
  readonly resumable: boolean;
  readonly notes: readonly string[];
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
  #notes: readonly string[] = [];

  constructor(task: ConsumerTask, ring: Ring, ledger: Ledger, target: Target, clock: Clock) {
    this.#task = task;
    this.#ring = ring;
    this.#ledger = ledger;
    this.#target = target;
    this.#clock = clock;
    this.#keptAtMs = clock.nowMs();
  }

  get progress(): Progress {
    return { resumable: this.#saved && !this.#spoilt, notes: this.#notes };
  }

  /**
   * Makes a record durable that names the target and no block yet, before the first byte is written: without it nobody could
   * tell what an interrupted copy left from somebody else's data. What is gone on with has one.
   */
  begin(): void {
    if (this.#target.resumption?.record != null) return;
    const isFile = this.#task.target.kind === 'file';
    if (!isFile && !this.#task.resumable) {
      removeRecord(this.#target.recordPath);
      return;
    }
    try {
      this.#save(0, { done: new Uint8Array(0), digests: new Uint8Array(0) });
    } catch (cause) {
      if (!isFile) {
        this.spoil(messageOf(cause));
        return;
      }
      // Its record lies beside it: where that cannot be written, nobody could tell the provisional file from a foreign one.
      const path = this.#target.recordPath;
      throw new UnderstudyError('TARGET_WRITE_FAILED', `write ${path}: ${messageOf(cause)}`, { cause });
    }
  }

  /** Flushes and records when it is time, or when `now`. Writes may be in flight: they are not in the ledger yet. */
  keep(now: boolean): void {
    if (!this.#task.resumable) {
      if (now) this.#target.device.flush();
      return;
    }
    if (!now && this.#clock.nowMs() - this.#keptAtMs < limits.FLUSH_INTERVAL_MS) return;
    const known = this.#ring.get('sizeKnown') === 1;
    const blockCount = known ? this.#ring.get('blockCount') : this.#ring.geometry.blockCapacity;
    // Taken before the flush: what is written meanwhile belongs to the next record.
    const snapshot = this.#ledger.snapshot(blockCount);
    this.#target.device.flush();
    try {
      this.#save(blockCount, snapshot);
    } catch (error) {
      // Without a record the copy is as good as with one, unless it is interrupted.
      this.spoil(messageOf(error));
      this.#keptAtMs = this.#clock.nowMs();
      return;
    }
    this.#saved = true;
    this.#spoilt = false;
    this.#keptAtMs = this.#clock.nowMs();
  }

  #save(blockCount: number, blocks: Pick<ResumeRecord, 'done' | 'digests'>): void {
    const known = this.#ring.get('sizeKnown') === 1;
    saveRecord(this.#target.recordPath, {
      target: this.#target.stamp,
      sourceIdentity: this.#task.source.identity,
      fingerprint: this.#ring.getText('fingerprint'),
      sourceBytes: known ? this.#ring.getDouble('sourceBytes') : 0,
      endBytes: this.#task.extent.endBytes ?? 0,
      blockBytes: this.#ring.geometry.blockBytes,
      blockCount,
      missingCount: this.#ledger.missingOf(blockCount),
      ...blocks,
    });
  }

  /** The last try to keep failed: an older record, if any, still tells the truth about older blocks. */
  spoil(reason: string): void {
    this.#spoilt = !this.#saved;
    this.#notes = [`the progress could not be recorded: ${reason}`];
  }
}
