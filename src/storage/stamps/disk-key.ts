// What tells a storage from any other one, however it is called today: the inode of a file with the time at which it
// was made, the serial number and the world wide name of a disk.
import { createHash } from 'node:crypto';
import { type BigIntStats, realpathSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { diskNumbers, errnoOf, readSysText } from '../../base/mod.ts';

/**
 * A name for a file, of letters, digits and "-". null: the path leads nowhere now. The number of the device on which a
 * file lies is not in it: it may be another one after the next start of the machine. An inode that is given again is
 * told apart by the time of birth (statx(2), stx_btime), which file systems that have none give as 0.
 */
export function diskKey(path: string): string | null {
  let stats: BigIntStats;
  try {
    stats = statSync(path, { bigint: true });
  } catch (cause) {
    if (errnoOf(cause) === null) throw cause;
    return null;
  }
  if (!stats.isBlockDevice()) return fileKey(stats);
  return blockKey(stats) ?? `path-${digest(path)}`;
}

function fileKey({ ino, birthtimeNs }: BigIntStats): string {
  return `inode-${ino}-${birthtimeNs}`;
}

function blockKey({ rdev }: BigIntStats): string | null {
  // makedev(3), as glibc packs it.
  const major = ((rdev >> 8n) & 0xfffn) | ((rdev >> 32n) & ~0xfffn);
  const minor = (rdev & 0xffn) | ((rdev >> 12n) & ~0xffn);
  const folder = realFolder(`/sys/dev/block/${major}:${minor}`);
  return folder === null ? null : deviceKey(folder);
}

/** @param folder real path of a disk or partition in sysfs @returns null: the device has no number of its own */
export function deviceKey(folder: string, sysRoot = '/sys'): string | null {
  const partition = readSysText(join(folder, 'partition'));
  const disk = partition === null ? folder : dirname(folder);
  const backing = readSysText(join(disk, 'loop/backing_file'));
  const own = backing === null ? diskNumbers(disk, sysRoot) : [loopKey(disk, backing)];
  if (own.length === 0) return null;
  return `disk-${digest([...own, ...(partition === null ? [] : [`partition=${partition}`])].join('\n'))}`;
}

/** A loop device is the file behind it. */
function loopKey(disk: string, path: string): string {
  const offset = readSysText(join(disk, 'loop/offset')) ?? '0';
  try {
    return `loop=${fileKey(statSync(path, { bigint: true }))}+${offset}`;
  } catch (cause) {
    if (errnoOf(cause) === null) throw cause;
    return `loop=${path}+${offset}`;
  }
}

function realFolder(link: string): string | null {
  try {
    return realpathSync(link);
  } catch (cause) {
    if (errnoOf(cause) === null) throw cause;
    return null;
  }
}

function digest(value: string): string {
  return createHash('sha256').update(value).digest('hex').slice(0, 32);
}
