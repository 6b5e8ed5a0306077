// The worker threads of one copy process: one a target, each with its own end. A ring has a row for so many consumers;
// the targets beyond wait in line here, without a thread, and start as others end.

import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { limits, toldOf } from '../../base/mod.ts';
import { type ConsumerTask, Control, emptyResult, type TargetResult } from '../consumer/mod.ts';
import { Activity } from '../ring/mod.ts';

export interface Member {
  readonly task: ConsumerTask;
  readonly control: Int32Array;
  /** Never rejects. */
  readonly result: Promise<TargetResult>;
  /** The result once it is there; for progress. */
  readonly settled: TargetResult | null;
}

const workerPath = fileURLToPath(new URL('../consumer/worker.js', import.meta.url));

class Recruit implements Member {
  readonly task: ConsumerTask;
  readonly control = new Int32Array(new SharedArrayBuffer(Control.words * 4));
  readonly result: Promise<TargetResult>;
  settled: TargetResult | null = null;
  #resolve: (result: TargetResult) => void = () => undefined;

  constructor(task: ConsumerTask) {
    this.task = task;
    this.result = new Promise((resolve) => {
      this.#resolve = resolve;
    });
    Atomics.store(this.control, Control.activity, Activity.queued);
  }

  /** The first result counts. */
  settle(result: TargetResult): void {
    this.settled ??= result;
    this.#resolve(this.settled);
  }

  start(ringFd: number): void {
    Atomics.store(this.control, Control.activity, Activity.starting);
    const { task, control } = this;
    const uri = task.target.uri;
    try {
      const worker = new Worker(workerPath, {
        workerData: { task, ringFd, control },
        // A worker moves bytes outside the heap; without a bound each of many would let its young generation grow. The
        // old one stays at 5 MiB; a ring mapped beside it that is larger than half its bound would have all of it
        // collected and compacted at once, at the start.
        resourceLimits: { maxYoungGenerationSizeMb: 4, maxOldGenerationSizeMb: 512 },
      });
      worker.on('message', (message: TargetResult) => this.settle(message));
      worker.on('error', (error) => this.settle(lost(uri, error)));
      worker.on('exit', (code) => this.settle(lost(uri, new Error(`its thread ended with status ${code}`))));
    } catch (error) {
      this.settle(lost(uri, error));
    }
  }
}

export class Crew {
  readonly members: readonly Member[];
  readonly #waiting: Recruit[];
  readonly #ringFd: number;

  /** Starts as many as a ring has rows. */
  constructor(tasks: readonly ConsumerTask[], ringFd: number) {
    const recruits = tasks.map((task) => new Recruit(task));
    this.members = recruits;
    this.#waiting = [...recruits];
    this.#ringFd = ringFd;
    for (let count = 0; count < limits.CONSUMERS_MAX; count++) this.#startNext();
  }

  #startNext(): void {
    const next = this.#waiting.shift();
    if (next === undefined) return;
    next.start(this.#ringFd);
    void next.result.then(() => this.#startNext());
  }

  /** Those that run keep their work; those in line have none. */
  abort(): void {
    for (const recruit of this.#waiting.splice(0)) {
      recruit.settle(notCopied(recruit.task.target.uri, { code: 'INTERRUPTED', message: 'the copy was stopped' }));
    }
    for (const member of this.members) Atomics.store(member.control, Control.abort, 1);
  }
}

/** The result of a target that nothing was written to. */
export function notCopied(uri: string, error: NonNullable<TargetResult['error']>): TargetResult {
  return { ...emptyResult(uri), error };
}

function lost(uri: string, cause: unknown): TargetResult {
  return notCopied(uri, toldOf(cause));
}
