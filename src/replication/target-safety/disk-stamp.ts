// What tells a disk from another one that has its device name tomorrow: the numbers that hardware carries, the file behind a
// loop device, the place of a partition, the size. The device number is none of these: it belongs to the name.
import { type BigIntStats, readFileSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { errnoOf } from '../../base/mod.ts';
import { diskSequence } from '../target/mod.ts';
import { type BlockDevice, diskOf, readSysText } from './block-device.ts';

/**
 * Properties in sysfs by which disks name themselves: NVMe, SCSI and ATA (world wide name), MMC (CID), virtio, NVMe (serial
 * number), device mapper (UUID of the volume). kernel.org, Documentation/ABI/{testing,stable}/sysfs-*.
 */
const NUMBERS = ['wwid', 'device/wwid', 'device/cid', 'serial', 'device/serial', 'dm/uuid'] as const;
/** SCSI: the serial number as the disk sends it (vital product data page 80h), after a header of four bytes. */
const SERIAL_PAGE = 'device/vpd_pg80';
const USB_DEPTH_MAX = 12;

export interface DiskStamp {
  /** Equal for the same disk or partition under whatever name; disks without any number of their own can be equal too. */
  readonly stamp: string;
  /** What finds its resume record: the stamp, and for a disk without a number of its own the device number as well. */
  readonly recordKey: string;
  /** Rises with each disk that takes the device's name (sysfs, diskseq, Linux 5.15); null where the kernel does not count. */
  readonly sequence: string | null;
}

export function stampOf(device: BlockDevice): DiskStamp {
  const disk = diskOf(device);
  const numbers = NUMBERS.flatMap((name) => {
    const value = readSysText(join(disk.folder, name));
    return value === null || value === '' ? [] : [`${name}=${value}`];
  });
  const own = [...numbers, ...serialPage(disk.folder), ...usbSerial(disk.folder), ...loopFile(disk.folder)];
  const place = device.isPartition ? [`partition=${device.startBytes}+${device.sizeBytes}`] : [];
  const stamp = ['block', ...own, `size=${disk.sizeBytes}`, ...place].join(';');
  const recordKey = own.length > 0 ? stamp : `${stamp};number=${device.number}`;
  return { stamp, recordKey, sequence: diskSequence(device.number) };
}

function serialPage(folder: string): string[] {
  try {
    const page = readFileSync(join(folder, SERIAL_PAGE));
    const serial = page.toString('latin1', 4).replaceAll('\0', '').trim();
    return serial === '' ? [] : [`vpd=${serial}`];
  } catch (cause) {
    if (errnoOf(cause) === null) throw cause;
    return [];
  }
}

/** A disk on USB often has its serial number only in the USB device that it hangs on. */
function usbSerial(folder: string): string[] {
  for (let at = folder, depth = 0; depth < USB_DEPTH_MAX && at.startsWith('/sys/'); at = dirname(at), depth++) {
    if (readSysText(join(at, 'idVendor')) === null) continue;
    const serial = readSysText(join(at, 'serial'));
    return serial === null || serial === '' ? [] : [`usb=${serial}`];
  }
  return [];
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
