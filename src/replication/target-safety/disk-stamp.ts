// What tells a disk from another one that has its device name tomorrow: the numbers that hardware carries, the file
// behind a loop device, the place of a partition, the size. The device number is none of these: it belongs to the name.
import { type BigIntStats, statSync } from 'node:fs';
import { join } from 'node:path';
import { diskNumbers, errnoOf, readSysText } from '../../base/mod.ts';
import { diskSequence } from '../target/mod.ts';
import { type BlockDevice, diskOf } from './block-device.ts';

export interface DiskStamp {
  /**
   * Equal for the same disk or partition under whatever name; disks without any number of their own can be equal too.
   */
  readonly stamp: string;
  /** What finds its resume record: the stamp, and for a disk without a number of its own the device number as well. */
  readonly recordKey: string;
  /**
   * Rises with each disk that takes the device's name (sysfs, diskseq, Linux 5.15); null where the kernel does not
   * count.
   */
  readonly sequence: string | null;
}

export function stampOf(device: BlockDevice): DiskStamp {
  const disk = diskOf(device);
  const own = [...diskNumbers(disk.folder), ...loopFile(disk.folder)];
  const place = device.isPartition ? [`partition=${device.startBytes}+${device.sizeBytes}`] : [];
  const stamp = ['block', ...own, `size=${disk.sizeBytes}`, ...place].join(';');
  const recordKey = own.length > 0 ? stamp : `${stamp};number=${device.number}`;
  return { stamp, recordKey, sequence: diskSequence(device.number) };
}

/** Device, inode and time of birth: a file made after another one was removed may get that one's inode. */
function loopFile(folder: string): string[] {
  const path = readSysText(join(folder, 'loop/backing_file'));
  if (path === null) return [];
  const offset = readSysText(join(folder, 'loop/offset')) ?? '0';
  return [`loop=${fileStamp(path) ?? path}+${offset}`];
}

function fileStamp(path: string): string | null {
  let stats: BigIntStats;
  try {
    stats = statSync(path, { bigint: true });
  } catch (cause) {
    // Deleted, or in another mount namespace: its name is all there is.
    if (errnoOf(cause) === null) throw cause;
    return null;
  }
  return `${stats.dev}:${stats.ino}:${stats.birthtimeNs}`;
}
