// The worker threads of one copy process: one a target, started together, each with its own end.

import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { messageOf } from '../../base/mod.ts';
import { type ConsumerTask, Control, emptyResult, type TargetResult } from '../consumer/mod.ts';

export interface Member {
  readonly task: ConsumerTask;
  readonly control: Int32Array;
  readonly result: Promise<TargetResult>;
  /** The result once it is there; for progress. */
  settled: TargetResult | null;
}

const workerPath = fileURLToPath(new URL('../consumer/worker.js', import.meta.url));

/** Starts the worker of one target; `result` never rejects. */
export function startMember(task: ConsumerTask, ringFd: number): Member {
  const control = new Int32Array(new SharedArrayBuffer(Control.words * 4));
  const worker = new Worker(workerPath, {
    workerData: { task, ringFd, control },
    // A worker moves bytes outside the heap; without a bound each of many would let its young generation grow. The old one stays at
    // 5 MiB; a ring mapped beside it that is larger than half its bound would have all of it collected and compacted at once, at the start.
    resourceLimits: { maxYoungGenerationSizeMb: 4, maxOldGenerationSizeMb: 512 },
  });
  const result = new Promise<TargetResult>((resolve) => {
    worker.on('message', (message: TargetResult) => resolve(message));
    worker.on('error', (error) => resolve(lostResult(task, messageOf(error))));
    worker.on('exit', (code) => resolve(lostResult(task, `its thread ended with status ${code}`)));
  });
  const member: Member = { task, control, result, settled: null };
  void result.then((settled) => {
    member.settled = settled;
  });
  return member;
}

/** A result of a target that has no worker, or whose worker died of a defect. */
export function failedResult(uri: string, error: NonNullable<TargetResult['error']>): TargetResult {
  return { ...emptyResult(uri), error };
}

function lostResult(task: ConsumerTask, message: string): TargetResult {
  return failedResult(task.target.uri, { code: 'INTERNAL', message });
}

export function abortMembers(members: readonly Member[]): void {
  for (const member of members) Atomics.store(member.control, Control.abort, 1);
}
