// Address resolution packets of one link, sent and received whole (packet(7), RFC 826). Node.js has no sockets below IP.
import { closeSync } from 'node:fs';
import { constants } from 'node:os';
import { EINTR, lastErrno, lastError, libc, SystemError } from './libc.ts';

const AF_PACKET = 17;
const SOCK_DGRAM = 2;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const ETH_P_ARP = 0x0806;
const ARPHRD_ETHER = 1;
/** struct sockaddr_ll: family, protocol (network order), link, hardware type, packet type, address length, address. */
const ADDRESS_BYTES = 20;
const MAC_BYTES = 6;
/** Longer than any ARP packet of Ethernet, which has 28 bytes and padding. */
const PACKET_BYTES_MAX = 256;
const { EAGAIN, ENODEV } = constants.errno;

function linkAddress(index: number, mac: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(ADDRESS_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, AF_PACKET, true);
  view.setUint16(2, ETH_P_ARP, false);
  view.setInt32(4, index, true);
  view.setUint8(11, mac.length);
  bytes.set(mac, 12);
  return bytes;
}

export class ArpSocket {
  /** Of the link. */
  readonly mac: Uint8Array;
  readonly #fd: number;
  readonly #broadcast: Uint8Array;
  #open = true;

  /** @throws SystemError ENODEV: no such link, or it is not Ethernet; EPERM: the process lacks CAP_NET_RAW */
  constructor(link: string) {
    const index = libc.ifNametoindex(link);
    if (index === 0) throw new SystemError(`link ${link}`, ENODEV);
    // Without a protocol it gets nothing before it is bound to its link.
    this.#fd = libc.socket(AF_PACKET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (this.#fd < 0) throw lastError('socket AF_PACKET');
    try {
      const own = linkAddress(index, new Uint8Array(0));
      if (libc.bind(this.#fd, own, own.length) !== 0) throw lastError(`bind to link ${link}`);
      const length = new Uint32Array([own.length]);
      if (libc.getsockname(this.#fd, own, length) !== 0) throw lastError('getsockname');
      const view = new DataView(own.buffer);
      const ethernet = view.getUint16(8, true) === ARPHRD_ETHER && view.getUint8(11) === MAC_BYTES;
      if (!ethernet) throw new SystemError(`link ${link} is not Ethernet`, ENODEV);
      this.mac = own.slice(12, 12 + MAC_BYTES);
    } catch (error) {
      closeSync(this.#fd);
      throw error;
    }
    this.#broadcast = linkAddress(index, new Uint8Array(MAC_BYTES).fill(0xff));
  }

  /** To everybody on the link. @throws SystemError ENETDOWN when the link is down */
  broadcast(packet: Uint8Array): void {
    while (libc.sendto(this.#fd, packet, packet.length, 0, this.#broadcast, this.#broadcast.length) < 0) {
      if (lastErrno() !== EINTR) throw lastError('send');
    }
  }

  /** The next packet that has arrived, or null; never waits. @throws SystemError ENETDOWN when the link went down */
  receive(): Uint8Array | null {
    const packet = new Uint8Array(PACKET_BYTES_MAX);
    for (;;) {
      const count = libc.recv(this.#fd, packet, packet.length, 0);
      if (count >= 0) return packet.subarray(0, count);
      const errno = lastErrno();
      if (errno === EAGAIN) return null;
      if (errno !== EINTR) throw lastError('receive');
    }
  }

  /** Idempotent. */
  close(): void {
    if (this.#open) closeSync(this.#fd);
    this.#open = false;
  }
}
