// What tells a storage from any other one, however it is called today: the inode of a file with the time at which it
// was made, the serial number and the world wide name of a disk.

import { createHash } from 'node:crypto';
import { type BigIntStats, readFileSync, realpathSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { errnoOf } from '../../base/mod.ts';

/**
 * Numbers in sysfs by which disks name themselves: NVMe, SCSI and ATA (world wide name), MMC, virtio, device mapper
 * (UUID of the logical volume), md. kernel.org, Documentation/ABI/{testing,stable}/sysfs-*.
 */
const NUMBERS = [
  'wwid',
  'device/wwid',
  'device/cid',
  'serial',
  'device/serial',
  'device/vpd_pg80',
  'dm/uuid',
  'md/uuid',
] as const;

/**
 * A name for a file, of letters, digits and "-". null: the path leads nowhere now. The number of the device on which a
 * file lies is not in it: it may be another one after the next start of the machine. An inode that is given again is
 * told apart by the time of birth (statx(2), stx_btime), which file systems that have none give as 0.
 */
export function diskKey(path: string, sysRoot = '/sys'): string | null {
  let stats: BigIntStats;
  try {
    stats = statSync(path, { bigint: true });
  } catch (cause) {
    if (errnoOf(cause) === null) throw cause;
    return null;
  }
  if (!stats.isBlockDevice()) return fileKey(stats);
  return blockKey(stats, sysRoot) ?? `path-${digest(path)}`;
}

function fileKey({ ino, birthtimeNs }: BigIntStats): string {
  return `inode-${ino}-${birthtimeNs}`;
}

/** null: the device has no number of its own. */
function blockKey({ rdev }: BigIntStats, sysRoot: string): string | null {
  // makedev(3), as glibc packs it.
  const major = ((rdev >> 8n) & 0xfffn) | ((rdev >> 32n) & ~0xfffn);
  const minor = (rdev & 0xffn) | ((rdev >> 12n) & ~0xffn);
  const folder = realFolder(join(sysRoot, 'dev/block', `${major}:${minor}`));
  if (folder === null) return null;
  const partition = text(join(folder, 'partition'));
  const disk = partition === null ? folder : dirname(folder);
  const backing = text(join(disk, 'loop/backing_file'));
  const own = backing === null ? numbersOf(disk) : [loopKey(disk, backing)];
  if (own.length === 0) return null;
  return `disk-${digest([...own, ...(partition === null ? [] : [`partition=${partition}`])].join('\n'))}`;
}

function numbersOf(disk: string): readonly string[] {
  return NUMBERS.flatMap((name) => {
    const value = text(join(disk, name));
    return value === null || value === '' ? [] : [`${name}=${value}`];
  });
}

/** A loop device is the file behind it. */
function loopKey(disk: string, path: string): string {
  const offset = text(join(disk, 'loop/offset')) ?? '0';
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

/** Text of a file of sysfs; null: the device has no such property, or it means nothing for it as it is. */
function text(path: string): string | null {
  try {
    return readFileSync(path, 'latin1').replaceAll('\0', '').trim();
  } catch (cause) {
    if (errnoOf(cause) === null) throw cause;
    return null;
  }
}

function digest(value: string): string {
  return createHash('sha256').update(value).digest('hex').slice(0, 32);
}
