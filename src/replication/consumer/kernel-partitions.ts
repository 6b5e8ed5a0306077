// After a copy the kernel still has the partitions that the disk had before.
import { closeSync, constants, openSync } from 'node:fs';
import { errnoOf } from '../../base/mod.ts';
import { rereadPartitionTable } from '../../linux/mod.ts';
import type { TargetSpec } from '../target/mod.ts';
import type { TargetResult } from './options.ts';

/** Programs that look at a disk as soon as its writer closes it (udev) hold it for moments. */
const TRIES_MAX = 5;
const PAUSE_MS = 100;
const pause = new Int32Array(new SharedArrayBuffer(4));

/** Shows the kernel the new partition table; call after the target is closed, for until then nobody else may claim it. */
export function readPartitionsAgain(target: TargetSpec): TargetResult['kernelPartitions'] {
  if (target.kind !== 'block') return null;
  let fd: number;
  try {
    fd = openSync(target.path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (cause) {
    if (errnoOf(cause) === null) throw cause;
    return null;
  }
  try {
    let answer = rereadPartitionTable(fd);
    for (let tries = 1; answer === 'busy' && tries < TRIES_MAX; tries++) {
      Atomics.wait(pause, 0, 0, PAUSE_MS);
      answer = rereadPartitionTable(fd);
    }
    return answer === 'busy' ? 'in-use' : answer === 'read' ? 'read' : null;
  } finally {
    closeSync(fd);
  }
}
