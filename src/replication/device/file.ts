// Regular files and block devices, by native asynchronous I/O, past the page cache where that works.
import { closeSync, constants, fdatasyncSync, fstatSync, openSync, type Stats, statfsSync } from 'node:fs';
import { constants as osConstants } from 'node:os';
import { assert, errnoOf, limits, messageOf, reasonOf, UnderstudyError } from '../../base/mod.ts';
import {
  type AioCompletion,
  AioContext,
  adviseDontNeed,
  adviseSequential,
  adviseWillNeed,
  allocatePages,
  blockDeviceBytes,
  blockDeviceSectorBytes,
  type Mapping,
  readAt,
  seekData,
  seekHole,
  writeAt,
  writeBack,
  zeroRange,
} from '../../linux/mod.ts';
import {
  type Completion,
  type Device,
  type DeviceInfo,
  type DeviceRole,
  deviceCode,
  type Extent,
  type Transfer,
} from './contract.ts';

export interface FileDeviceOptions {
  readonly path: string;
  readonly role: DeviceRole;
  /** Past the page cache (O_DIRECT); silently through it where the file system has no such thing. */
  readonly direct: boolean;
  /** Block devices: O_EXCL, which the kernel refuses while anybody has the device mounted or open exclusively. */
  readonly exclusive?: boolean;
  /** What the user called it; the path by default. */
  readonly uri?: string;
}

/**
 * Pages asked for ahead of a read through the page cache, and how many of them in one step: one disk's worth of queue.
 */
const READ_AHEAD_BYTES = 64 * limits.MIB;
const READ_AHEAD_STEP_BYTES = 16 * limits.MIB;
/** Extents of a source are looked for in at most so many steps; past that, all is data. */
const EXTENTS_MAX = 1_000_000;

const errnoNames = new Map(Object.entries(osConstants.errno).map(([name, number]) => [number, name]));

/** The error of a failed system call on a device, in the registry's words. */
export function fileError(role: DeviceRole, action: string, errno: string | null, cause?: unknown): UnderstudyError {
  const message = `cannot ${action}: ${errno === null ? messageOf(cause) : reasonOf(errno)}`;
  // Memory that a transfer was to use is gone: buffers of ours are there as long as their device, slots of a ring are
  // shared.
  if (errno === 'EFAULT')
    return new UnderstudyError('RING_BROKEN', `${message}: the shared memory was cut short`, { cause });
  if (errno === 'ENOENT') return new UnderstudyError(deviceCode(role, 'NOT_FOUND'), message, { cause });
  if (errno === 'EACCES' || (errno === 'EPERM' && role === 'source')) {
    return new UnderstudyError(deviceCode(role, 'PERMISSION'), message, { cause });
  }
  if (errno === 'EISDIR' || errno === 'ENOTDIR' || errno === 'ENXIO') {
    return new UnderstudyError(deviceCode(role, 'KIND'), message, { cause });
  }
  if (role === 'target') {
    if (errno === 'ENOSPC' || errno === 'EDQUOT' || errno === 'EFBIG')
      return new UnderstudyError('TARGET_FULL', message, { cause });
    if (errno === 'EROFS' || errno === 'EPERM') return new UnderstudyError('TARGET_READ_ONLY', message, { cause });
    if (errno === 'EBUSY') return new UnderstudyError('TARGET_IN_USE', message, { cause });
  }
  return new UnderstudyError(deviceCode(role, 'IO'), message, { cause });
}

/** "file:DEV:INODE" or "block:MAJOR:MINOR": the same for all names of the same storage. */
export function fileIdentity(stats: Stats): string {
  if (stats.isBlockDevice()) {
    // makedev(3): the low 8 bits of the minor number, then 12 bits of the major one, then the rest of the minor one.
    const minor = (stats.rdev & 0xff) | ((stats.rdev >>> 12) & ~0xff);
    return `block:${(stats.rdev >>> 8) & 0xfff}:${minor}`;
  }
  return `file:${stats.dev}:${stats.ino}`;
}

/**
 * Size and time of last change of a file's content; '' for what has no such time. The inode's own time of change is
 * left out: a new link to the file changes it too.
 */
export function fileFingerprint(fd: number): string {
  const stats = fstatSync(fd, { bigint: true });
  return stats.isFile() ? `${stats.size}:${stats.mtimeNs}` : '';
}

class FileDevice implements Device {
  readonly info: DeviceInfo;
  readonly #role: DeviceRole;
  readonly #path: string;
  readonly #aio: AioContext;
  /** Through the page cache: odd tails, sizes, flushes, and everything where `#directFd` is null. */
  readonly #fd: number;
  readonly #directFd: number | null;
  readonly #regular: boolean;
  /** The page cache is all there is. */
  readonly #inMemory: boolean;
  readonly #transfers = new Map<number, Transfer>();
  #lost: UnderstudyError | null = null;
  #advisedTo = 0;
  #zeros: Mapping | null = null;
  #open = true;

  constructor(options: FileDeviceOptions) {
    this.#role = options.role;
    this.#path = options.uri ?? options.path;
    const access = options.role === 'source' ? constants.O_RDONLY : constants.O_RDWR;
    const flags = access | (options.exclusive === true ? constants.O_EXCL : 0);
    this.#fd = this.#openFile(options.path, flags);
    const stats = fstatSync(this.#fd);
    if (!stats.isFile() && !stats.isBlockDevice()) {
      closeSync(this.#fd);
      throw new UnderstudyError(deviceCode(options.role, 'KIND'), `${this.#path} is neither a file nor a block device`);
    }
    this.#regular = stats.isFile();
    // O_EXCL belongs to the first descriptor; a second exclusive open of one's own device would be refused as well.
    this.#inMemory = this.#regular && statfsSync(`/proc/self/fd/${this.#fd}`).type === TMPFS_MAGIC;
    const direct = options.direct && !this.#inMemory;
    this.#directFd = direct ? openDirect(`/proc/self/fd/${this.#fd}`, access) : null;
    if (this.#directFd === null && options.role === 'source') adviseSequential(this.#fd);
    this.#aio = new AioContext(8, { atOnce: this.#directFd === null });
    this.info = {
      uri: this.#path,
      identity: fileIdentity(stats),
      sizeBytes: this.#regular ? stats.size : blockDeviceBytes(this.#fd),
      access: 'random',
      alignmentBytes: this.#regular ? 1 : blockDeviceSectorBytes(this.#fd),
      // Reads through the page cache are done one after the other anyway, and each shall be passed on when it is there.
      depth: this.#directFd === null && options.role === 'source' ? 1 : this.#aio.depth,
      cached: this.#directFd === null,
    };
  }

  #openFile(path: string, flags: number): number {
    try {
      return openSync(path, flags);
    } catch (cause) {
      throw fileError(this.#role, `open ${this.#path}`, errnoOf(cause), cause);
    }
  }

  submit(transfer: Transfer): void {
    assert(this.#transfers.size < this.info.depth, 'no more transfers than the depth');
    const cached = this.#directFd === null && !this.#inMemory;
    if (transfer.kind === 'read' && this.#role === 'target' && cached) this.#dropCached(transfer);
    this.#transfers.set(transfer.tag, transfer);
    if (transfer.kind === 'read') this.#submitRead(transfer);
    else this.#submitWrite(transfer);
  }

  #submitRead(transfer: Transfer): void {
    const { buffer, offsetBytes, tag } = transfer;
    if (this.#directFd === null) {
      if (this.#role === 'source') this.#advise(offsetBytes + buffer.byteLength);
      this.#aio.submit({ kind: 'read', fd: this.#fd, buffer, offsetBytes, tag });
      return;
    }
    // The end of the device may be odd; O_DIRECT wants whole sectors and reads short there. Buffers are whole pages
    // long.
    const whole = Math.ceil(buffer.byteLength / limits.PAGE_BYTES) * limits.PAGE_BYTES;
    const fits = buffer.byteOffset + whole <= buffer.buffer.byteLength && offsetBytes % limits.PAGE_BYTES === 0;
    if (!fits || buffer.byteOffset % limits.PAGE_BYTES !== 0) {
      this.#aio.submit({ kind: 'read', fd: this.#fd, buffer, offsetBytes, tag });
      return;
    }
    const wide = new Uint8Array(buffer.buffer, buffer.byteOffset, whole);
    this.#aio.submit({ kind: 'read', fd: this.#directFd, buffer: wide, offsetBytes, tag });
  }

  #submitWrite(transfer: Transfer): void {
    const { buffer, offsetBytes, tag } = transfer;
    const sector = Math.max(this.info.alignmentBytes, 512);
    const even = buffer.byteLength - (buffer.byteLength % limits.PAGE_BYTES);
    const aligned = even > 0 && offsetBytes % sector === 0 && buffer.byteOffset % limits.PAGE_BYTES === 0;
    if (this.#directFd === null || !aligned) {
      this.#aio.submit({ kind: 'write', fd: this.#fd, buffer, offsetBytes, tag });
      return;
    }
    this.#aio.submit({ kind: 'write', fd: this.#directFd, buffer: buffer.subarray(0, even), offsetBytes, tag });
  }

  /**
   * What a target is asked for is what it holds, and the page cache may hold something else, so the range leaves it
   * first. (A read past the page cache does that by itself.)
   */
  #dropCached({ offsetBytes, buffer }: Transfer): void {
    this.#durably(() => writeBack(this.#fd, offsetBytes, buffer.byteLength));
    adviseDontNeed(this.#fd, offsetBytes, buffer.byteLength);
  }

  /** The kernel tells each open file of a lost write once, whoever asks; so it is remembered here. */
  #durably(action: () => void): void {
    try {
      if (this.#lost === null) action();
    } catch (cause) {
      this.#lost = new UnderstudyError('TARGET_FLUSH_FAILED', `flush ${this.#path}: ${messageOf(cause)}`, { cause });
    }
    if (this.#lost !== null) throw this.#lost;
  }

  /** Keeps the disk's queue filled ahead of reads through the page cache, asking for each page once. */
  #advise(fromBytes: number): void {
    if (fromBytes > this.#advisedTo || fromBytes < this.#advisedTo - 2 * READ_AHEAD_BYTES) this.#advisedTo = fromBytes;
    const to = Math.min(fromBytes + READ_AHEAD_BYTES, this.#advisedTo + READ_AHEAD_STEP_BYTES);
    if (to - this.#advisedTo < READ_AHEAD_STEP_BYTES / 4) return;
    adviseWillNeed(this.#fd, this.#advisedTo, to - this.#advisedTo);
    this.#advisedTo = to;
  }

  reap(timeoutMs: number): readonly Completion[] {
    return this.#aio.reap(timeoutMs).map((done) => this.#complete(done));
  }

  #complete(done: AioCompletion): Completion {
    const transfer = this.#transfers.get(done.tag);
    assert(transfer !== undefined, 'a completion of a transfer in flight');
    this.#transfers.delete(done.tag);
    const wanted = transfer.buffer.byteLength;
    let moved = done.result;
    // EINVAL: this device wants another alignment than any that we know. Short: a signal, the end, or no room for the
    // rest. In each case the remainder, done plainly, tells.
    if (moved === -osConstants.errno.EINVAL || moved === -osConstants.errno.EINTR) moved = 0;
    if (moved < 0) return this.#failed(transfer, -moved);
    moved = Math.min(moved, wanted);
    const move = transfer.kind === 'read' ? readAt : writeAt;
    while (moved < wanted) {
      const result = move(this.#fd, transfer.buffer.subarray(moved), transfer.offsetBytes + moved);
      if (result < 0) return this.#failed(transfer, -result);
      if (result === 0) break;
      moved += result;
    }
    if (transfer.kind === 'write' && moved < wanted) return this.#failed(transfer, osConstants.errno.ENOSPC);
    return { tag: transfer.tag, bytes: moved, error: null };
  }

  #failed(transfer: Transfer, errno: number): Completion {
    const name = errnoNames.get(errno) ?? `errno ${errno}`;
    const action = `${transfer.kind} ${transfer.buffer.byteLength} bytes at ${transfer.offsetBytes} of ${this.#path}`;
    const endBytes = transfer.offsetBytes + transfer.buffer.byteLength;
    const beyondEnd = !this.#regular && this.info.sizeBytes !== null && endBytes > this.info.sizeBytes;
    // The end of a device, met by an image whose length nobody knew beforehand. Before its end, what it rests on is
    // full: the pool of a thin volume, the file system that holds the file of a loop device.
    const error =
      name === 'ENOSPC' && this.#role === 'target' && beyondEnd
        ? new UnderstudyError('TARGET_TOO_SMALL', `${action}: the device ends there`)
        : fileError(this.#role, action, name);
    return { tag: transfer.tag, bytes: 0, error };
  }

  zero(offsetBytes: number, lengthBytes: number): void {
    assert(this.#transfers.size === 0, 'nothing in flight while a range is zeroed');
    try {
      if (zeroRange(this.#fd, offsetBytes, lengthBytes)) return;
    } catch (cause) {
      throw fileError(
        this.#role,
        `zero ${lengthBytes} bytes at ${offsetBytes} of ${this.#path}`,
        errnoOf(cause),
        cause,
      );
    }
    this.#zeros ??= allocatePages(limits.MIB);
    const zeros = new Uint8Array(this.#zeros.buffer);
    for (let done = 0; done < lengthBytes; ) {
      const piece = zeros.subarray(0, Math.min(zeros.byteLength, lengthBytes - done));
      this.submit({ kind: 'write', tag: 0, offsetBytes: offsetBytes + done, buffer: piece });
      for (const completion of this.reap(limits.IO_TIMEOUT_MS)) if (completion.error) throw completion.error;
      done += piece.byteLength;
    }
  }

  flush(): void {
    this.#durably(() => fdatasyncSync(this.#fd));
  }

  extents(offsetBytes: number, lengthBytes: number): readonly Extent[] | null {
    if (!this.#regular) return null;
    const end = offsetBytes + lengthBytes;
    const extents: Extent[] = [];
    for (let at = offsetBytes; at < end; ) {
      if (extents.length >= EXTENTS_MAX) {
        extents.push({ offsetBytes: at, lengthBytes: end - at, zero: false });
        break;
      }
      const data = Math.min(seekData(this.#fd, at) ?? end, end);
      if (data > at) extents.push({ offsetBytes: at, lengthBytes: data - at, zero: true });
      if (data >= end) break;
      const hole = Math.min(seekHole(this.#fd, data), end);
      // A file that shrinks while it is looked at can answer with no progress; what is left is then no hole for sure.
      const stop = hole > data ? hole : end;
      extents.push({ offsetBytes: data, lengthBytes: stop - data, zero: false });
      at = stop;
    }
    return extents;
  }

  fingerprint(): string {
    return fileFingerprint(this.#fd);
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#aio.close();
    this.#zeros?.unmap();
    if (this.#directFd !== null) closeSync(this.#directFd);
    closeSync(this.#fd);
  }
}

/**
 * statfs(2), f_type: tmpfs is the page cache, and takes O_DIRECT since Linux 6.6 without meaning anything by it. Asked
 * of regular files only: /dev is one too, which says nothing of the devices that have their names there.
 */
const TMPFS_MAGIC = 0x01021994;

/** A descriptor with O_DIRECT, or null where the file system refuses it. */
function openDirect(path: string, access: number): number | null {
  try {
    return openSync(path, access | constants.O_DIRECT);
  } catch {
    // EINVAL here means "no direct I/O on this file system"; any other trouble shows at the first transfer as well.
    return null;
  }
}

/**
 * Opens an existing regular file or block device.
 * @throws NOT_FOUND, PERMISSION, KIND of the role; TARGET_IN_USE when `exclusive` is refused; TARGET_READ_ONLY
 */
export function openFileDevice(options: FileDeviceOptions): Device {
  return new FileDevice(options);
}
