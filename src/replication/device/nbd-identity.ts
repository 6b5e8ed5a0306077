// Which server an NBD URI leads to: two names of one server must share one reading, and two servers must never.
import { lookup } from 'node:dns/promises';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { isIP, SocketAddress } from 'node:net';
import { networkInterfaces } from 'node:os';
import { errnoOf } from '../../base/mod.ts';
import { canonicalNbdUri } from './nbd-uri.ts';

/** A listening TCP socket of this network namespace. */
interface Listener {
  /** Normal spelling; "0.0.0.0" and "::" hear every address of their family. */
  readonly address: string;
  readonly inode: string;
}

/** State "listen" in proc_net_tcp.rst of the kernel. */
const TCP_LISTEN = '0A';
const EVERY_ADDRESS = ['0.0.0.0', '::'];
/** They hold sockets for services that have not started, of which each may be another server. */
const SOCKET_KEEPERS = ['systemd', 'inetd', 'xinetd'];

/**
 * The canonical URI with the address in place of the host, for `nbd:` over TCP. On this machine the address is the one where
 * the server listens that would answer: `localhost`, 127.0.0.1 and the machine's own name may lead to one server or to several,
 * and only the listening sockets tell. The server itself is not asked: qemu-nbd ends with its first connection.
 *
 * What cannot be told apart for certain stays apart, which costs a second reading and never a wrong byte: a name with several
 * addresses elsewhere, a server of another user that listens twice, and with TLS every name, because the certificate is
 * checked against it. Never fails for a host that cannot be found: who opens it reports that.
 * @throws USAGE for a URI that libnbd would not read
 */
export async function nbdIdentity(uri: string): Promise<string> {
  const canonical = canonicalNbdUri(uri);
  const [, host, port, rest] = /^nbd:\/\/(.*):([0-9]+)(\/.*)$/.exec(canonical) ?? [];
  if (host === undefined) return canonical;
  const address = serverOf(await addressesOf(decodeURIComponent(host).replace(/^\[(.*)\]$/, '$1')), Number(port));
  if (address === null) return canonical;
  return `nbd://${isIP(address) === 6 ? `[${address}]` : address}:${port}${rest}`;
}

/** In the order in which libnbd tries them, which is the resolver's; empty when there are none. */
async function addressesOf(host: string): Promise<string[]> {
  try {
    const found = isIP(host) === 0 ? await lookup(host, { all: true, verbatim: true }) : [{ address: host }];
    return found.map(({ address }) => normalAddress(address));
  } catch (error) {
    if (errnoOf(error) === null) throw error;
    return [];
  }
}

/** One spelling of each address; an IPv4 address that is written as one of IPv6 is the IPv4 address. */
function normalAddress(address: string): string {
  if (isIP(address) !== 6 || address.includes('%')) return address;
  const normal = new SocketAddress({ address, family: 'ipv6' }).address;
  return /^::ffff:(\d+\.\d+\.\d+\.\d+)$/.exec(normal)?.[1] ?? normal;
}

/** The address that stands for the server that would answer; null when that is not certain. */
function serverOf(addresses: readonly string[], port: number): string | null {
  const own = ownAddresses();
  const listeners = listenersOn(port);
  for (const address of addresses) {
    if (!own(address)) return addresses.length === 1 ? address : null;
    // Where nothing listens the connection is refused at once, and the next address is tried.
    const listener = listenerFor(address, listeners);
    if (listener !== undefined) return nameOf(listener, listeners);
  }
  return null;
}

function ownAddresses(): (address: string) => boolean {
  const known = Object.values(networkInterfaces()).flatMap((all) => (all ?? []).map(({ address }) => address));
  return (address) => isLoopback(address) || EVERY_ADDRESS.includes(address) || known.includes(address);
}

function isLoopback(address: string): boolean {
  return address === '::1' || /^127\.\d+\.\d+\.\d+$/.test(address);
}

/** As the kernel chooses: the exact address before any address, and the own family before IPv4 on an IPv6 socket. */
function listenerFor(address: string, listeners: readonly Listener[]): Listener | undefined {
  // To connect to "any address" is to connect to this machine.
  const asked = address === '0.0.0.0' ? '127.0.0.1' : address === '::' ? '::1' : address;
  const candidates = isIP(asked) === 4 ? [asked, '0.0.0.0', '::'] : [asked, '::'];
  for (const candidate of candidates) {
    const found = listeners.find((listener) => listener.address === candidate);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** A server may hold a socket for each family: then the first of its addresses stands for both. */
function nameOf(listener: Listener, listeners: readonly Listener[]): string {
  const kind = [EVERY_ADDRESS, ['127.0.0.1', '::1']].find((pair) => pair.includes(listener.address)) ?? [];
  const other = listeners.find((one) => one.address !== listener.address && kind.includes(one.address));
  if (other === undefined) return listener.address;
  const holders = holdersOf([listener.inode, other.inode]);
  const [mine = '', others = ''] = [holders.get(listener.inode), holders.get(other.inode)];
  return mine !== '' && mine === others ? (kind[0] ?? listener.address) : listener.address;
}

/** Processes that hold each of the sockets, as a text that can be compared; '' for those of other users. */
function holdersOf(inodes: readonly string[]): Map<string, string> {
  const holders = new Map<string, string>();
  const wanted = new Map(inodes.map((inode) => [`socket:[${inode}]`, inode]));
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    const held = new Set(linksIn(`/proc/${pid}/fd`).flatMap((link) => wanted.get(link) ?? []));
    if (held.size === 0 || SOCKET_KEEPERS.includes(textOf(`/proc/${pid}/comm`).trim())) continue;
    for (const inode of held) holders.set(inode, `${holders.get(inode) ?? ''} ${pid}`);
  }
  return holders;
}

/** What the links in a folder of /proc lead to; none of a process that has gone or is not to be looked at. */
function linksIn(folder: string): string[] {
  return orNone(() => readdirSync(folder), []).map((name) => orNone(() => readlinkSync(`${folder}/${name}`), ''));
}

function textOf(path: string): string {
  return orNone(() => readFileSync(path, 'utf8'), '');
}

function orNone<T>(read: () => T, none: T): T {
  try {
    return read();
  } catch (error) {
    if (errnoOf(error) === null) throw error;
    return none;
  }
}

function listenersOn(port: number): Listener[] {
  const rows = ['/proc/self/net/tcp', '/proc/self/net/tcp6'].flatMap((table) => textOf(table).split('\n').slice(1));
  return rows.flatMap((row) => {
    const [, local = '', , state, , , , , , inode = ''] = row.trim().split(/\s+/);
    const [hex = '', portHex = ''] = local.split(':');
    if (state !== TCP_LISTEN || Number.parseInt(portHex, 16) !== port) return [];
    return [{ address: addressOfHex(hex), inode }];
  });
}

/** The kernel prints addresses as 32-bit words in the byte order of the machine. */
function addressOfHex(hex: string): string {
  const words = Uint32Array.from(hex.match(/.{8}/g) ?? [], (word) => Number.parseInt(word, 16));
  const bytes = new Uint8Array(words.buffer);
  if (bytes.length === 4) return bytes.join('.');
  const groups = Array.from({ length: 8 }, (_, at) =>
    (((bytes[at * 2] ?? 0) << 8) | (bytes[at * 2 + 1] ?? 0)).toString(16),
  );
  return normalAddress(groups.join(':'));
}
