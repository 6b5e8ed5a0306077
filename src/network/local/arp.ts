// Who answers for an IPv4 address on a link: ARP probes of RFC 5227, section 2.1.1. The sender address is 0.0.0.0, so nobody's
// table learns anything from them. Written on a socket of our own, because the usual arping(8) stops at the first answer
// when it probes, and a duplicate address is just that somebody else answers too.
import { isIPv4 } from 'node:net';
import { networkInterfaces } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { errnoOf, messageOf, UnderstudyError } from '../../base/mod.ts';
import { ArpSocket } from '../../linux/mod.ts';

/** PROBE_NUM of the RFC; closer together than there, because nobody waits to use the address. */
const PROBES = 3;
const APART_MS = 600;
/** After the last probe: a host that is busy, or an emulated one, answers late. */
const LISTEN_MS = 800;
/** A packet socket has no event in Node.js; for two seconds it is looked at so often. */
const LOOK_MS = 20;

const HARDWARE_ETHERNET = 1;
const PROTOCOL_IPV4 = 0x0800;
const REQUEST = 1;
const REPLY = 2;
/** Hardware type, protocol, lengths, operation, sender MAC and IP, target MAC and IP (RFC 826). */
const PACKET_BYTES = 28;

function addressBytes(address: string): readonly number[] {
  return address.split('.').map(Number);
}

/** "Who has it?", asked by nobody. */
export function probePacket(mac: Uint8Array, address: string): Uint8Array {
  const packet = new Uint8Array(PACKET_BYTES);
  const view = new DataView(packet.buffer);
  view.setUint16(0, HARDWARE_ETHERNET);
  view.setUint16(2, PROTOCOL_IPV4);
  view.setUint8(4, 6);
  view.setUint8(5, 4);
  view.setUint16(6, REQUEST);
  packet.set(mac, 8);
  packet.set(addressBytes(address), 24);
  return packet;
}

/** The hardware address of a packet's sender, if that sender says that the address is its own; else null. */
export function holderIn(packet: Uint8Array, address: string): string | null {
  if (packet.length < PACKET_BYTES) return null;
  const view = new DataView(packet.buffer, packet.byteOffset, packet.byteLength);
  const known =
    view.getUint16(0) === HARDWARE_ETHERNET &&
    view.getUint16(2) === PROTOCOL_IPV4 &&
    view.getUint8(4) === 6 &&
    view.getUint8(5) === 4 &&
    [REQUEST, REPLY].includes(view.getUint16(6));
  if (!known) return null;
  const sender = packet.subarray(14, 18).join('.');
  return sender === addressBytes(address).join('.') ? macText(packet.subarray(8, 14)) : null;
}

function macText(bytes: Uint8Array): string {
  return [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join(':');
}

/** Whether this machine has the address: it does not answer its own probes, but everybody else's. */
function isOurs(address: string): boolean {
  return Object.values(networkInterfaces()).some((entries) => entries?.some((entry) => entry.address === address));
}

/** @throws NETWORK_FAILED, INTERRUPTED */
export async function arpHolders(link: string, address: string, signal: AbortSignal): Promise<readonly string[]> {
  const what = `look for ${address} on ${link}`;
  if (!isIPv4(address)) throw new UnderstudyError('NETWORK_FAILED', `${what}: not an IPv4 address`);
  const found = new Set<string>();
  let socket: ArpSocket | null = null;
  try {
    signal.throwIfAborted();
    socket = new ArpSocket(link);
    if (isOurs(address)) found.add(macText(socket.mac));
    for (let probe = 1; probe <= PROBES; probe++) {
      socket.broadcast(probePacket(socket.mac, address));
      await listen(socket, address, probe < PROBES ? APART_MS : LISTEN_MS, found, signal);
    }
    return [...found].sort();
  } catch (error) {
    if (signal.aborted) throw new UnderstudyError('INTERRUPTED', `${what}: stopped by its caller`);
    if (errnoOf(error) === null) throw error;
    throw new UnderstudyError('NETWORK_FAILED', `${what}: ${reasonOf(error)}`, { cause: error });
  } finally {
    socket?.close();
  }
}

async function listen(
  socket: ArpSocket,
  address: string,
  forMs: number,
  found: Set<string>,
  signal: AbortSignal,
): Promise<void> {
  const end = performance.now() + forMs;
  do {
    await delay(LOOK_MS, undefined, { signal });
    for (let packet = socket.receive(); packet !== null; packet = socket.receive()) {
      const holder = holderIn(packet, address);
      if (holder !== null) found.add(holder);
    }
  } while (performance.now() < end);
}

function reasonOf(error: unknown): string {
  switch (errnoOf(error)) {
    case 'EPERM':
      return 'sending ARP probes needs the right CAP_NET_RAW (run as root, or AmbientCapabilities of systemd)';
    case 'ENODEV':
      return `there is no such Ethernet link (${messageOf(error)})`;
    case 'ENETDOWN':
      return 'the link is down';
    default:
      return messageOf(error);
  }
}
