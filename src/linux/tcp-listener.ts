// A listening TCP socket for another program to inherit, with what that program does not set itself. Node.js hands out
// no number of an open socket.
import { closeSync } from 'node:fs';
import { constants } from 'node:os';
import { lastError, libc, SystemError } from './libc.ts';

const AF_INET = 2;
const AF_INET6 = 10;
const SOCK_STREAM = 1;
const SOCK_CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const SO_REUSEADDR = 2;
const IPPROTO_TCP = 6;
const TCP_NODELAY = 1;
/** Connections that wait until the program accepts them. */
const BACKLOG = 128;

export interface TcpAddress {
  /** In numbers; one of IPv6 may end with `%` and a link. */
  readonly address: string;
  readonly family: 4 | 6;
  readonly port: number;
}

/**
 * Listens with TCP_NODELAY, which each accepted connection has too (tcp(7); Linux copies it). Without it, a program
 * that answers in two pieces waits for the acknowledgement of the first one, which the other end puts off for 40 ms.
 *
 * @returns the descriptor, which programs inherit only when they are given it; the caller closes it
 * @throws SystemError EADDRINUSE, EADDRNOTAVAIL, EACCES
 */
export function listenTcp(place: TcpAddress): number {
  const fd = libc.socket(place.family === 6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) throw lastError('socket');
  try {
    // The connections of a program that has just ended do not keep the next one from listening.
    setOption(fd, SOL_SOCKET, SO_REUSEADDR);
    setOption(fd, IPPROTO_TCP, TCP_NODELAY);
    const address = socketAddress(place);
    if (libc.bind(fd, address, address.length) !== 0) throw lastError('bind');
    if (libc.listen(fd, BACKLOG) !== 0) throw lastError('listen');
    return fd;
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

function setOption(fd: number, level: number, option: number): void {
  const on = new Int32Array([1]);
  if (libc.setsockopt(fd, level, option, on, on.byteLength) !== 0) throw lastError('setsockopt');
}

/** struct sockaddr_in and sockaddr_in6: ip(7), ipv6(7). */
function socketAddress({ address, family, port }: TcpAddress): Uint8Array {
  const [numbers = '', link] = address.split('%');
  const bytes = new Uint8Array(family === 6 ? 28 : 16);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, family === 6 ? AF_INET6 : AF_INET, true);
  view.setUint16(2, port, false);
  const where = bytes.subarray(family === 6 ? 8 : 4);
  if (libc.inetPton(family === 6 ? AF_INET6 : AF_INET, numbers, where) !== 1) {
    throw new SystemError(`address ${address}`, constants.errno.EADDRNOTAVAIL);
  }
  if (link !== undefined) view.setUint32(24, libc.ifNametoindex(link), true);
  return bytes;
}
