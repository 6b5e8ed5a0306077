// The C library, called through koffi. Blocking calls block the calling thread; only futex waits, reads and writes may.
import { constants } from 'node:os';
import koffi from 'koffi';

const library = koffi.load('libc.so.6');

// Variadic functions are declared with the arguments that are used: on x86-64 and arm64 Linux integer arguments of
// variadic calls travel in the same registers as those of fixed ones.
export const libc = {
  mmap: library.func('void* mmap(void*, size_t, int, int, int, int64_t)') as (
    address: bigint | null,
    length: number,
    protection: number,
    flags: number,
    fd: number,
    offset: number,
  ) => bigint,
  mprotect: library.func('int mprotect(void*, size_t, int)') as (
    address: bigint,
    length: number,
    protection: number,
  ) => number,
  sigaction: library.func('int sigaction(int, void*, void*)') as (
    signal: number,
    action: Uint8Array | null,
    old: Uint8Array | null,
  ) => number,
  munmap: library.func('int munmap(void*, size_t)') as (address: bigint, length: number) => number,
  madvise: library.func('int madvise(void*, size_t, int)') as (
    address: bigint,
    length: number,
    advice: number,
  ) => number,
  fcntlLock: library.func('int fcntl(int, int, void*)') as (fd: number, command: number, lock: Uint8Array) => number,
  fcntlInt: library.func('int fcntl(int, int, int)') as (fd: number, command: number, value: number) => number,
  pipe2: library.func('int pipe2(void*, int)') as (fds: Int32Array, flags: number) => number,
  poll: library.func('int poll(void*, unsigned long, int)') as (
    fds: Uint8Array,
    count: number,
    timeoutMs: number,
  ) => number,
  pread: library.func('int64_t pread(int, void*, size_t, int64_t)') as PositionedIo,
  pwrite: library.func('int64_t pwrite(int, void*, size_t, int64_t)') as PositionedIo,
  /** `buffer` holds iovecs, `length` says how many. */
  pwritev: library.func('int64_t pwritev(int, void*, int, int64_t)') as PositionedIo,
  read: library.func('int64_t read(int, void*, size_t)') as (fd: number, buffer: bigint, length: number) => number,
  lseek: library.func('int64_t lseek(int, int64_t, int)') as (fd: number, offset: number, whence: number) => number,
  fallocate: library.func('int fallocate(int, int, int64_t, int64_t)') as (
    fd: number,
    mode: number,
    offset: number,
    length: number,
  ) => number,
  fadvise: library.func('int posix_fadvise(int, int64_t, int64_t, int)') as (
    fd: number,
    offset: number,
    length: number,
    advice: number,
  ) => number,
  syncFileRange: library.func('int sync_file_range(int, int64_t, int64_t, unsigned int)') as (
    fd: number,
    offset: number,
    length: number,
    flags: number,
  ) => number,
  ioctl: library.func('int ioctl(int, unsigned long, void*)') as (
    fd: number,
    request: number,
    argument: Uint8Array | BigUint64Array | Int32Array,
  ) => number,
  socket: library.func('int socket(int, int, int)') as (family: number, type: number, protocol: number) => number,
  bind: library.func('int bind(int, void*, uint32_t)') as (fd: number, address: Uint8Array, length: number) => number,
  listen: library.func('int listen(int, int)') as (fd: number, backlog: number) => number,
  setsockopt: library.func('int setsockopt(int, int, int, void*, uint32_t)') as (
    fd: number,
    level: number,
    option: number,
    value: Int32Array,
    length: number,
  ) => number,
  inetPton: library.func('int inet_pton(int, const char*, void*)') as (
    family: number,
    text: string,
    address: Uint8Array,
  ) => number,
  getsockname: library.func('int getsockname(int, void*, void*)') as (
    fd: number,
    address: Uint8Array,
    length: Uint32Array,
  ) => number,
  sendto: library.func('int64_t sendto(int, void*, size_t, int, void*, uint32_t)') as (
    fd: number,
    bytes: Uint8Array,
    length: number,
    flags: number,
    address: Uint8Array,
    addressLength: number,
  ) => number,
  recv: library.func('int64_t recv(int, void*, size_t, int)') as (
    fd: number,
    bytes: Uint8Array,
    length: number,
    flags: number,
  ) => number,
  llistxattr: library.func('int64_t llistxattr(void*, void*, size_t)') as (
    path: Uint8Array,
    list: Uint8Array,
    length: number,
  ) => number,
  lgetxattr: library.func('int64_t lgetxattr(void*, const char*, void*, size_t)') as (
    path: Uint8Array,
    name: string,
    value: Uint8Array,
    length: number,
  ) => number,
  lsetxattr: library.func('int lsetxattr(void*, const char*, void*, size_t, int)') as (
    path: Uint8Array,
    name: string,
    value: Uint8Array,
    length: number,
    flags: number,
  ) => number,
  lremovexattr: library.func('int lremovexattr(void*, const char*)') as (path: Uint8Array, name: string) => number,
  listxattr: library.func('int64_t listxattr(void*, void*, size_t)') as (
    path: Uint8Array,
    list: Uint8Array,
    length: number,
  ) => number,
  getxattr: library.func('int64_t getxattr(void*, const char*, void*, size_t)') as (
    path: Uint8Array,
    name: string,
    value: Uint8Array,
    length: number,
  ) => number,
  setxattr: library.func('int setxattr(void*, const char*, void*, size_t, int)') as (
    path: Uint8Array,
    name: string,
    value: Uint8Array,
    length: number,
    flags: number,
  ) => number,
  removexattr: library.func('int removexattr(void*, const char*)') as (path: Uint8Array, name: string) => number,
  renameat2: library.func('int renameat2(int, const char*, int, const char*, unsigned int)') as (
    oldFolder: number,
    oldPath: string,
    newFolder: number,
    newPath: string,
    flags: number,
  ) => number,
  ifNametoindex: library.func('uint32_t if_nametoindex(const char*)') as (name: string) => number,
  syscall: library.func('int64_t syscall(long, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t)') as (
    number: number,
    a: number | bigint,
    b: number | bigint,
    c: number | bigint,
    d: number | bigint,
    e: number | bigint,
    f: number | bigint,
  ) => number,
};

type PositionedIo = (fd: number, buffer: bigint, length: number, offset: number) => number;

/** Numbers of the system calls that the C library has no function for. */
export const SYSCALL = {
  /** The same on all architectures, like all that came after Linux 5.0. */
  ...{ pidfdSendSignal: 424, pidfdOpen: 434 },
  ...(process.arch === 'arm64'
    ? { futex: 98, ioSetup: 0, ioDestroy: 1, ioSubmit: 2, ioGetevents: 4 }
    : { futex: 202, ioSetup: 206, ioDestroy: 207, ioSubmit: 209, ioGetevents: 208 }),
} as const;

const namesByNumber = new Map(Object.entries(constants.errno).map(([name, number]) => [number, name]));

/** A failed system call; `code` is the system's name of the error, as in Node.js's own errors. */
export class SystemError extends Error {
  readonly code: string;
  readonly errno: number;

  constructor(call: string, errno: number) {
    const code = namesByNumber.get(errno) ?? `errno ${errno}`;
    super(`${call}: ${code}`);
    this.name = 'SystemError';
    this.code = code;
    this.errno = errno;
  }
}

/** The error number of the last C call of this thread; read it before any other call. */
export function lastErrno(): number {
  return koffi.errno();
}

export function lastError(call: string): SystemError {
  return new SystemError(call, koffi.errno());
}

export const EINTR = constants.errno.EINTR;
