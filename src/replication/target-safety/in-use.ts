// Who uses a block device or file: mounts, swap, devices built on it, programs that hold it exclusively.
import { closeSync, constants, openSync, readFileSync, type Stats, statSync } from 'node:fs';
import { join } from 'node:path';
import { errnoOf, readSysText } from '../../base/mod.ts';
import { fileIdentity } from '../device/file.ts';
import { type BlockDevice, listSysFolder, relatives, SYS_ROOT } from './block-device.ts';

/** Uses of storage by the kernel at one moment. */
export interface KernelUse {
  /** Mount point by identity of the device ("block:8:1"). */
  readonly mounts: ReadonlyMap<string, string>;
  /** Identities of active swap devices and files. */
  readonly swaps: ReadonlySet<string>;
}

export function readKernelUse(): KernelUse {
  const mounts = new Map<string, string>();
  // Other mount namespaces are not listed here; the exclusive open finds their mounts, for the kernel's claim on a
  // mounted device is one for all namespaces.
  for (const line of readFileSync('/proc/self/mountinfo', 'utf8').split('\n')) {
    const [before = '', after = ''] = line.split(' - ');
    const fields = before.split(' ');
    const mountPoint = unescapeProc(fields[4] ?? '');
    const number = fields[2] ?? '';
    if (!number.startsWith('0:')) mounts.set(`block:${number}`, mountPoint);
    // btrfs and others show a number of their own making; then the source names the device.
    const identity = identityOf(unescapeProc(after.split(' ')[1] ?? ''));
    if (identity?.startsWith('block:') && !mounts.has(identity)) mounts.set(identity, mountPoint);
  }
  for (const [number, label] of mountedBtrfsMembers()) {
    const identity = `block:${number}`;
    if (!mounts.has(identity)) mounts.set(identity, `a btrfs over several devices (${label})`);
  }
  const swaps = new Set<string>();
  for (const line of readFileSync('/proc/swaps', 'utf8').split('\n').slice(1)) {
    const identity = identityOf(unescapeProc(line.split(/\s/)[0] ?? ''));
    if (identity !== null) swaps.add(identity);
  }
  return { mounts, swaps };
}

/** Octal escapes of /proc (proc(5)): space, tab, newline, backslash. */
function unescapeProc(text: string): string {
  return text.replaceAll(/\\([0-7]{3})/g, (_all, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}

function identityOf(path: string): string | null {
  if (!path.startsWith('/')) return null;
  try {
    return fileIdentity(statSync(path));
  } catch (cause) {
    // A name from another namespace or of something deleted tells nothing.
    if (errnoOf(cause) === null) throw cause;
    return null;
  }
}

/** Devices of mounted btrfs file systems: sysfs lists them as long as one is mounted. */
function mountedBtrfsMembers(): [number: string, label: string][] {
  const folder = join(SYS_ROOT, 'fs/btrfs');
  return listSysFolder(folder).flatMap(({ name: id }) =>
    listSysFolder(join(folder, id, 'devices')).flatMap(({ name }): [string, string][] => {
      const number = readSysText(join(folder, id, 'devices', name, 'dev'));
      return number === null ? [] : [[number, id]];
    }),
  );
}

/** Names of the devices built on this one: md, device mapper, bcache. */
export function holdersOf(device: BlockDevice): string[] {
  return listSysFolder(join(device.folder, 'holders')).map(({ name }) => name);
}

/**
 * How a device, its disk or one of its partitions is in use, as the end of a sentence that names it; null when it is
 * not.
 */
export function useOfDevice(device: BlockDevice, use: KernelUse): string | null {
  for (const relative of relatives(device)) {
    const how = ownUse(relative, use);
    if (how === null) continue;
    if (relative.number === device.number) return how;
    return device.isPartition && !relative.isPartition
      ? `is part of ${relative.name}, which ${how}`
      : `shares bytes with ${relative.name}, which ${how}`;
  }
  return null;
}

function ownUse(device: BlockDevice, use: KernelUse): string | null {
  const identity = `block:${device.number}`;
  const mountPoint = use.mounts.get(identity);
  if (mountPoint !== undefined) return `is mounted on ${mountPoint}`;
  if (use.swaps.has(identity)) return 'is active swap';
  const holders = holdersOf(device);
  return holders.length > 0 ? `is part of ${holders.join(', ')}` : null;
}

/** `held`: somebody has claimed it, or a partition of it, exclusively. Other names are those of errno. */
export type ExclusiveOpen = { readonly kind: 'free' | 'held' } | { readonly kind: 'failed'; readonly cause: unknown };

/**
 * Tries open(2) with O_EXCL, with which the kernel and well-behaved tools claim block devices; lets go at once. For
 * reading: the last close of a device open for writing makes udev probe it again.
 */
export function tryExclusive(path: string): ExclusiveOpen {
  try {
    closeSync(openSync(path, constants.O_RDONLY | constants.O_EXCL | constants.O_NONBLOCK));
    return { kind: 'free' };
  } catch (cause) {
    return errnoOf(cause) === 'EBUSY' ? { kind: 'held' } : { kind: 'failed', cause };
  }
}

export function isSwapFile(stats: Stats, use: KernelUse): boolean {
  return use.swaps.has(fileIdentity(stats));
}
