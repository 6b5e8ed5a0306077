// Numbers by which a disk names itself in sysfs, whatever it is called today.
// kernel.org, Documentation/ABI/{testing,stable}/sysfs-*
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { errnoOf } from './errors.ts';

/**
 * NVMe, SCSI and ATA (world wide name), MMC (CID), virtio and NVMe (serial number), device mapper (UUID of the volume),
 * md.
 */
const NUMBERS = ['wwid', 'device/wwid', 'device/cid', 'serial', 'device/serial', 'dm/uuid', 'md/uuid'] as const;
/** SCSI: the serial number as the disk sends it (vital product data page 80h), after a header of four bytes. */
const SERIAL_PAGE = 'device/vpd_pg80';
const SERIAL_PAGE_HEADER_BYTES = 4;
const USB_DEPTH_MAX = 12;

/** Text of a file of sysfs; null: the device has no such property. */
export function readSysText(path: string): string | null {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch (cause) {
    // ENXIO, EINVAL, ENODEV: the property exists but means nothing for the device as it is, or it went away just now.
    if (['ENOENT', 'ENOTDIR', 'ENXIO', 'EINVAL', 'ENODEV'].includes(errnoOf(cause) ?? '')) return null;
    throw cause;
  }
}

/**
 * @param folder real path of a disk, not of a partition, in sysfs
 * @returns "wwid=...", one for each number that it has; none: disks of its kind are told apart by nothing of their own
 */
export function diskNumbers(folder: string, sysRoot = '/sys'): string[] {
  const numbers = NUMBERS.flatMap((name) => {
    const value = readSysText(join(folder, name));
    return value === null || value === '' ? [] : [`${name}=${value}`];
  });
  return [...numbers, ...serialPage(folder), ...usbSerial(folder, sysRoot)];
}

function serialPage(folder: string): string[] {
  try {
    const page = readFileSync(join(folder, SERIAL_PAGE));
    const serial = page.toString('latin1', SERIAL_PAGE_HEADER_BYTES).replaceAll('\0', '').trim();
    return serial === '' ? [] : [`vpd=${serial}`];
  } catch (cause) {
    if (errnoOf(cause) === null) throw cause;
    return [];
  }
}

/** A disk on USB often has its serial number only in the USB device that it hangs on. */
function usbSerial(folder: string, sysRoot: string): string[] {
  for (let at = folder, depth = 0; depth < USB_DEPTH_MAX && at.startsWith(`${sysRoot}/`); at = dirname(at), depth++) {
    if (readSysText(join(at, 'idVendor')) === null) continue;
    const serial = readSysText(join(at, 'serial'));
    return serial === null || serial === '' ? [] : [`usb=${serial}`];
  }
  return [];
}
