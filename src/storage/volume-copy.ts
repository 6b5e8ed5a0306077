// One copy of the copy engine to one target, as the storage node wants it: no record for resuming, no questions, an
// exception when it does not end well.
import { errorFrom } from '../base/mod.ts';
import { copy, type CopyProgress as EngineProgress } from '../replication/mod.ts';
import type { CopyJob } from './backend.ts';
import type { CopyProgress } from './contract.ts';

export interface VolumeCopy {
  /** Path or NBD URI; raw, whatever its first bytes look like. */
  readonly source: string;
  readonly target: string;
  readonly bytes: number;
  readonly blockBytes: number;
  /** Read everything back and compare. */
  readonly verify: boolean;
  /** Bytes a second; null: no limit. */
  readonly rate: number | null;
}

/** @throws the copy engine's errors, its defects too */
export async function copyVolume(task: VolumeCopy, job: CopyJob): Promise<void> {
  const { source, target, bytes, blockBytes, verify, rate } = task;
  const result = await copy({
    source,
    targets: [target],
    format: 'raw',
    blockBytes,
    verify,
    resumable: false,
    // A volume is the lead's, byte for byte, whatever size it has here.
    gpt: 'keep',
    overwrite: true,
    signal: job.signal,
    onProgress: (progress) => job.onProgress(progressOf(progress, bytes)),
    ...(rate === null ? {} : { limitRate: rate }),
  });
  const { error } = result.targets[0] ?? { error: { code: 'INTERNAL', message: 'the copy engine told no result' } };
  if (error === null) {
    job.onProgress({ bytesDone: bytes, bytesTotal: bytes });
    return;
  }
  // A defect of the engine stays one: no disk is to be looked at for it.
  throw errorFrom(error, 'STORAGE_FAILED');
}

function progressOf({ blockBytes, targets }: EngineProgress, bytesTotal: number): CopyProgress {
  const [target] = targets;
  if (target === undefined || target.state === 'starting') return { bytesDone: 0, bytesTotal };
  return { bytesDone: Math.max(0, bytesTotal - target.blocksLeft * blockBytes), bytesTotal };
}
