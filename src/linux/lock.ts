// Open-file-description locks (fcntl(2), F_OFD_SETLK): owned by the open file, shared by whoever inherits the
// descriptor, dropped by the kernel when its last copy closes, however the processes die.
import { constants } from 'node:os';
import { EINTR, lastErrno, lastError, libc } from './libc.ts';

const F_OFD_GETLK = 36;
const F_OFD_SETLK = 37;
const F_RDLCK = 0;
const F_WRLCK = 1;
const F_UNLCK = 2;
const { EAGAIN, EACCES } = constants.errno;

/** struct flock on 64-bit Linux: type, whence, (pad), start, length, pid (must be 0), (pad). */
function flock(type: number, byte: number): Uint8Array {
  const bytes = new Uint8Array(32);
  const view = new DataView(bytes.buffer);
  view.setInt16(0, type, true);
  view.setBigInt64(8, BigInt(byte), true);
  view.setBigInt64(16, 1n, true);
  return bytes;
}

function setLock(fd: number, type: number, byte: number): boolean {
  for (;;) {
    if (libc.fcntlLock(fd, F_OFD_SETLK, flock(type, byte)) === 0) return true;
    const errno = lastErrno();
    if (errno === EAGAIN || errno === EACCES) return false;
    if (errno !== EINTR) throw lastError('fcntl F_OFD_SETLK');
  }
}

/** Takes one byte for itself alone; false when another open file holds it. The descriptor must be open for writing. */
export function tryLock(fd: number, byte: number): boolean {
  return setLock(fd, F_WRLCK, byte);
}

/** Takes one byte together with other sharers; false when somebody holds it alone. */
export function tryLockShared(fd: number, byte: number): boolean {
  return setLock(fd, F_RDLCK, byte);
}

export function unlock(fd: number, byte: number): void {
  setLock(fd, F_UNLCK, byte);
}

/** Whether another open file holds the byte, alone or shared. Locks of `fd` itself are not seen. */
export function isLockedByOther(fd: number, byte: number): boolean {
  const lock = flock(F_WRLCK, byte);
  if (libc.fcntlLock(fd, F_OFD_GETLK, lock) !== 0) throw lastError('fcntl F_OFD_GETLK');
  return new DataView(lock.buffer).getInt16(0, true) !== F_UNLCK;
}
