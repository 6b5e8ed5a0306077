// What Node.js's fs lacks for files and block devices: holes, allocation, cache advice, sizes, pipes, poll.
import { constants } from 'node:os';
import { EINTR, lastErrno, lastError, libc } from './libc.ts';
import { addressOf } from './mapping.ts';

const SEEK_DATA = 3;
const SEEK_HOLE = 4;
const FALLOC_FL_KEEP_SIZE = 1;
const FALLOC_FL_PUNCH_HOLE = 2;
const FALLOC_FL_ZERO_RANGE = 0x10;
const POSIX_FADV_SEQUENTIAL = 2;
const POSIX_FADV_WILLNEED = 3;
const POSIX_FADV_DONTNEED = 4;
const SYNC_FILE_RANGE_ALL = 7;
const BLKGETSIZE64 = 0x8008_1272;
const BLKROGET = 0x125e;
const BLKRRPART = 0x125f;
const BLKSSZGET = 0x1268;
const POLLIN = 1;
const F_SETFD = 2;
const F_SETPIPE_SZ = 1031;
const FD_CLOEXEC = 1;
const O_CLOEXEC = 0o2000000;
const { ENXIO, EOPNOTSUPP, ENOSYS, EINVAL, ENODEV, EBUSY } = constants.errno;

/** The next byte at or after `offset` that is data, or null when only a hole follows (lseek(2), SEEK_DATA). */
export function seekData(fd: number, offset: number): number | null {
  const found = libc.lseek(fd, offset, SEEK_DATA);
  if (found >= 0) return found;
  if (lastErrno() === ENXIO) return null;
  throw lastError('lseek SEEK_DATA');
}

/** The next byte at or after `offset` that lies in a hole; the end of the file counts as one. */
export function seekHole(fd: number, offset: number): number {
  const found = libc.lseek(fd, offset, SEEK_HOLE);
  if (found < 0) throw lastError('lseek SEEK_HOLE');
  return found;
}

/** Reserves space so that later writes to it cannot fail for lack of room. @throws SystemError ENOSPC */
export function reserveSpace(fd: number, offset: number, length: number): void {
  while (libc.fallocate(fd, 0, offset, length) !== 0) {
    if (lastErrno() !== EINTR) throw lastError('fallocate');
  }
}

/**
 * Makes a range read as zeros without writing it: a hole in a file, discarded-and-zero or write-zeroes on a block
 * device (fallocate(2)). False when the file system or device has no such operation, and the caller must write zeros.
 */
export function zeroRange(fd: number, offset: number, length: number): boolean {
  for (const mode of [FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE]) {
    while (true) {
      if (libc.fallocate(fd, mode, offset, length) === 0) return true;
      const errno = lastErrno();
      if (errno === EINTR) continue;
      if (errno === EOPNOTSUPP || errno === ENOSYS || errno === EINVAL || errno === ENODEV) break;
      throw lastError('fallocate');
    }
  }
  return false;
}

/** Tells the page cache that a file will be read from start to end (doubles the kernel's read-ahead). */
export function adviseSequential(fd: number): void {
  libc.fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
}

/** Starts reading a range into the page cache, without waiting for it. */
export function adviseWillNeed(fd: number, offset: number, length: number): void {
  libc.fadvise(fd, offset, length, POSIX_FADV_WILLNEED);
}

/** Drops clean cached pages of a range, so that the next read comes from the device. */
export function adviseDontNeed(fd: number, offset: number, length: number): void {
  libc.fadvise(fd, offset, length, POSIX_FADV_DONTNEED);
}

/**
 * Writes a range of the page cache to its device and waits for it (sync_file_range(2)). Durable it is not by that: the
 * device's own cache and the file's metadata are fdatasync(2)'s. @throws SystemError, EIO and ENOSPC among them
 */
export function writeBack(fd: number, offset: number, length: number): void {
  while (libc.syncFileRange(fd, offset, length, SYNC_FILE_RANGE_ALL) !== 0) {
    if (lastErrno() !== EINTR) throw lastError('sync_file_range');
  }
}

/** Size of an open block device in bytes (ioctl BLKGETSIZE64). */
export function blockDeviceBytes(fd: number): number {
  const size = new BigUint64Array(1);
  if (libc.ioctl(fd, BLKGETSIZE64, size) !== 0) throw lastError('ioctl BLKGETSIZE64');
  return Number(size[0]);
}

/** Logical sector size of an open block device: what O_DIRECT offsets and lengths must be multiples of. */
export function blockDeviceSectorBytes(fd: number): number {
  const size = new Int32Array(1);
  if (libc.ioctl(fd, BLKSSZGET, size) !== 0) throw lastError('ioctl BLKSSZGET');
  return size[0] ?? 512;
}

export function blockDeviceReadOnly(fd: number): boolean {
  const flag = new Int32Array(1);
  if (libc.ioctl(fd, BLKROGET, flag) !== 0) throw lastError('ioctl BLKROGET');
  return flag[0] !== 0;
}

/**
 * Lets the kernel read the partition table of an open disk again (ioctl BLKRRPART). `busy`: one of its partitions is in
 * use. `none`: it reads none here, as of loop devices without that option, of partitions, or without the right to.
 */
export function rereadPartitionTable(fd: number): 'read' | 'busy' | 'none' {
  if (libc.ioctl(fd, BLKRRPART, new Int32Array(1)) === 0) return 'read';
  return lastErrno() === EBUSY ? 'busy' : 'none';
}

/**
 * A pipe whose ends close on exec; the end that a child gets is passed by spawn's stdio. `capacityBytes` is a wish
 * (F_SETPIPE_SZ, at most /proc/sys/fs/pipe-max-size): where a user has too many large pipes it stays at 64 KiB.
 */
export function createPipe(capacityBytes?: number): { readFd: number; writeFd: number } {
  const fds = new Int32Array(2);
  if (libc.pipe2(fds, O_CLOEXEC) !== 0) throw lastError('pipe2');
  const [readFd = -1, writeFd = -1] = fds;
  if (capacityBytes !== undefined) libc.fcntlInt(writeFd, F_SETPIPE_SZ, capacityBytes);
  return { readFd, writeFd };
}

/** Sets FD_CLOEXEC on a descriptor that was inherited without it. */
export function closeOnExec(fd: number): void {
  if (libc.fcntlInt(fd, F_SETFD, FD_CLOEXEC) !== 0) throw lastError('fcntl F_SETFD');
}

/** Waits until a descriptor can be read (or has ended); false when the time is over. Blocks the thread. */
export function waitReadable(fd: number, timeoutMs: number): boolean {
  const request = new Uint8Array(8);
  const view = new DataView(request.buffer);
  view.setInt32(0, fd, true);
  view.setInt16(4, POLLIN, true);
  const result = libc.poll(request, 1, timeoutMs);
  if (result < 0 && lastErrno() !== EINTR) throw lastError('poll');
  return result > 0;
}

/** pread(2); bytes read (0 at the end), or the negated error number. */
export function readAt(fd: number, buffer: Uint8Array, offset: number): number {
  const count = libc.pread(fd, addressOf(buffer), buffer.byteLength, offset);
  return count >= 0 ? count : -lastErrno();
}

/** pwrite(2); bytes written, or the negated error number. */
export function writeAt(fd: number, buffer: Uint8Array, offset: number): number {
  const count = libc.pwrite(fd, addressOf(buffer), buffer.byteLength, offset);
  return count >= 0 ? count : -lastErrno();
}

/** read(2) from a pipe into mapped memory; 0 at the end. Blocks the thread. */
export function readPipe(fd: number, buffer: Uint8Array): number {
  for (;;) {
    const count = libc.read(fd, addressOf(buffer), buffer.byteLength);
    if (count >= 0) return count;
    if (lastErrno() !== EINTR) throw lastError('read');
  }
}
