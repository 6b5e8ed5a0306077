// Block devices as sysfs shows them: numbers, partitions, loop devices, and on which other storage they rest.
import { type Dirent, readdirSync, realpathSync, type Stats, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { errnoOf, readSysText } from '../../base/mod.ts';
import { fileIdentity } from '../device/file.ts';

/** Where the kernel's own view of devices lies; tests of devices that a machine cannot make give another folder. */
export const SYS_ROOT = '/sys';
const SECTOR_BYTES = 512;
/** Loop device over partition over loop device...: deeper than anybody stacks, and an end to loops. */
const DEPTH_MAX = 16;

export interface BlockDevice {
  /** "8:1" */
  readonly number: string;
  /** The kernel's name: "sda1". */
  readonly name: string;
  /** Real path of its folder in sysfs. */
  readonly folder: string;
  readonly isPartition: boolean;
  /** First byte on its disk; 0 for a disk. */
  readonly startBytes: number;
  readonly sizeBytes: number;
  readonly readOnly: boolean;
}

export function listSysFolder(path: string): Dirent[] {
  try {
    return readdirSync(path, { withFileTypes: true });
  } catch (cause) {
    if (errnoOf(cause) === 'ENOENT') return [];
    throw cause;
  }
}

/** A device by its "MAJOR:MINOR"; null when the kernel has no such device. */
export function findBlockDevice(number: string, sysRoot = SYS_ROOT): BlockDevice | null {
  return describeIfThere(join(sysRoot, 'dev/block', number))[0] ?? null;
}

/** The device behind a link of sysfs; none where it has gone, as loop devices do at any moment. */
function describeIfThere(link: string): BlockDevice[] {
  try {
    return [describe(realpathSync(link))];
  } catch (cause) {
    if (errnoOf(cause) === 'ENOENT') return [];
    throw cause;
  }
}

function describe(folder: string): BlockDevice {
  return {
    number: readSysText(join(folder, 'dev')) ?? '',
    name: basename(folder),
    folder,
    isPartition: readSysText(join(folder, 'partition')) !== null,
    startBytes: Number(readSysText(join(folder, 'start')) ?? 0) * SECTOR_BYTES,
    sizeBytes: Number(readSysText(join(folder, 'size')) ?? 0) * SECTOR_BYTES,
    readOnly: readSysText(join(folder, 'ro')) === '1',
  };
}

export function diskOf(device: BlockDevice): BlockDevice {
  return device.isPartition ? describe(dirname(device.folder)) : device;
}

/**
 * The device itself, the disk that it lies on, and every partition that shares bytes with it (logical in extended
 * ones).
 */
export function relatives(device: BlockDevice): BlockDevice[] {
  const disk = diskOf(device);
  const partitions = listSysFolder(disk.folder)
    .filter((entry) => entry.isDirectory() && readSysText(join(disk.folder, entry.name, 'partition')) !== null)
    .map((entry) => describe(join(disk.folder, entry.name)))
    .filter((other) => other.number !== device.number && (!device.isPartition || sharesBytes(other, device)));
  return device.isPartition ? [device, disk, ...partitions] : [device, ...partitions];
}

function sharesBytes(a: BlockDevice, b: BlockDevice): boolean {
  return a.startBytes < b.startBytes + b.sizeBytes && b.startBytes < a.startBytes + a.sizeBytes;
}

/** Bytes of a storage that does not rest on another one that could be told. */
export interface Footprint {
  /** "file:DEV:INODE" or "block:MAJOR:MINOR" of a whole disk. */
  readonly base: string;
  readonly startBytes: number;
  readonly endBytes: number;
  /** Somewhere on it, through device mapper or md: which part is not known. */
  readonly mapped: boolean;
}

/** The bytes that a file or device stands for, through partitions, loop devices and mapped devices. */
export function footprintsOf(stats: Stats): Footprint[] {
  return expand(fileIdentity(stats), 0, Number.MAX_SAFE_INTEGER, 0);
}

/** The same by identity; none for what is neither file nor block device. */
export function footprintsOfIdentity(identity: string): Footprint[] {
  return /^(file|block):\d+:\d+$/.test(identity) ? expand(identity, 0, Number.MAX_SAFE_INTEGER, 0) : [];
}

function expand(identity: string, startBytes: number, endBytes: number, depth: number): Footprint[] {
  const self = { base: identity, startBytes, endBytes, mapped: false };
  if (!identity.startsWith('block:') || depth > DEPTH_MAX) return [self];
  const device = findBlockDevice(identity.slice('block:'.length));
  if (device === null) return [self];
  const end = Math.min(endBytes, device.sizeBytes);
  if (device.isPartition) {
    const shift = device.startBytes;
    return expand(`block:${diskOf(device).number}`, startBytes + shift, end + shift, depth + 1);
  }
  const own = { ...self, endBytes: end };
  const backing = backingOf(device);
  if (backing !== null) {
    const shift = backing.offsetBytes;
    return [own, ...expand(backing.identity, startBytes + shift, end + shift, depth + 1)];
  }
  const slaves = listSysFolder(join(device.folder, 'slaves')).flatMap(({ name }) => {
    const number = readSysText(join(device.folder, 'slaves', name, 'dev'));
    return number === null ? [] : expand(`block:${number}`, 0, Number.MAX_SAFE_INTEGER, depth + 1);
  });
  return [own, ...slaves.map((footprint) => ({ ...footprint, mapped: true }))];
}

interface Backing {
  readonly identity: string;
  readonly offsetBytes: number;
}

/**
 * The file or device behind a loop device; null for other devices, and where its name leads nowhere (deleted,
 * elsewhere).
 */
function backingOf(device: BlockDevice): Backing | null {
  const path = readSysText(join(device.folder, 'loop/backing_file'));
  if (path === null) return null;
  try {
    const offsetBytes = Number(readSysText(join(device.folder, 'loop/offset')) ?? 0);
    return { identity: fileIdentity(statSync(path)), offsetBytes };
  } catch (cause) {
    if (errnoOf(cause) === null) throw cause;
    return null;
  }
}

/**
 * True when writing to one changes the other. Two mapped devices (logical volumes) over one disk are taken for apart.
 */
export function footprintsOverlap(some: readonly Footprint[], others: readonly Footprint[]): boolean {
  return some.some((a) =>
    others.some(
      (b) => a.base === b.base && !(a.mapped && b.mapped) && a.startBytes < b.endBytes && b.startBytes < a.endBytes,
    ),
  );
}

/** Loop devices that show some of these bytes. */
export function loopsOver(footprints: readonly Footprint[]): BlockDevice[] {
  return listSysFolder(join(SYS_ROOT, 'block'))
    .filter(({ name }) => /^loop\d+$/.test(name))
    .flatMap(({ name }) => describeIfThere(join(SYS_ROOT, 'block', name)))
    .filter((loop) => {
      const backing = backingOf(loop);
      if (backing === null) return false;
      const start = backing.offsetBytes;
      return footprintsOverlap(expand(backing.identity, start, start + loop.sizeBytes, 0), footprints);
    });
}
