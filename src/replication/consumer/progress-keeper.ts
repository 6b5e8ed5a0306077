// Keeps what is written durable from time to time, and the resume record true: only blocks written before a flush that
// succeeded are in it.
import { type Clock, limits, messageOf } from '../../base/mod.ts';
import type { Ring } from '../ring/mod.ts';
import { saveRecord, type Target } from '../target/mod.ts';
import type { Ledger } from './ledger.ts';
import type { ConsumerTask } from './options.ts';

export interface Progress {
  readonly resumable: boolean;
  readonly warnings: readonly string[];
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
  #warnings: readonly string[] = [];

  constructor(task: ConsumerTask, ring: Ring, ledger: Ledger, target: Target, clock: Clock) {
    this.#task = task;
    this.#ring = ring;
    this.#ledger = ledger;
    this.#target = target;
    this.#clock = clock;
    this.#keptAtMs = clock.nowMs();
  }

  get progress(): Progress {
    return { resumable: this.#saved && !this.#spoilt, warnings: this.#warnings };
  }

  /** Flushes and records when it is time, or when `now`. Writes may be in flight: they are not in the ledger yet. */
  keep(now: boolean): void {
    if (!this.#task.resumable) {
      if (now) this.#target.device.flush();
      return;
    }
    if (!now && this.#clock.nowMs() - this.#keptAtMs < limits.FLUSH_INTERVAL_MS) return;
    const { blockBytes, blockCapacity } = this.#ring.geometry;
    const known = this.#ring.get('sizeKnown') === 1;
    const blockCount = known ? this.#ring.get('blockCount') : blockCapacity;
    // Taken before the flush: what is written meanwhile belongs to the next record.
    const snapshot = this.#ledger.snapshot(blockCount);
    this.#target.device.flush();
    try {
      saveRecord(this.#target.recordPath, {
        version: 1,
        sourceIdentity: this.#task.source.identity,
        fingerprint: this.#ring.getText('fingerprint'),
        sourceBytes: known ? this.#ring.getDouble('sourceBytes') : 0,
        endBytes: this.#task.extent.endBytes ?? 0,
        blockBytes,
        blockCount,
        ...snapshot,
      });
    } catch (error) {
      // Without a record the copy is as good as with one, unless it is interrupted.
      this.spoil(messageOf(error));
      this.#keptAtMs = this.#clock.nowMs();
      return;
    }
    this.#saved = true;
    this.#keptAtMs = this.#clock.nowMs();
  }

  /** The last try to keep failed: an older record, if any, still tells the truth about older blocks. */
  spoil(reason: string): void {
    this.#spoilt = !this.#saved;
    this.#warnings = [`the progress could not be recorded: ${reason}`];
  }
}
