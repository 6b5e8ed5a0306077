// Who may hold a connection. One on which nobody has been authenticated belongs to a stranger: it lasts seconds and
// gives way to newer ones, the oldest of the most crowded address first. One that was authenticated has a place of its
// caller's own, which no stranger can take.
import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import type { Identity } from './authentication.ts';

export interface DoorLimits {
  /** Connections without an authenticated request, in all and from one address. */
  readonly strangersMax: number;
  readonly strangersPerAddressMax: number;
  /** Such a connection is cut after so long. */
  readonly strangerMs: number;
  /** Connections of one person, and of one agent, which has one at a time and perhaps one that is on its way out. */
  readonly perPersonMax: number;
  readonly perAgentMax: number;
}

/**
 * One address may have more strangers than the kernel hands over at once (the queue of listen(2)): whoever has sent its
 * request by then is read before it would have to give way.
 */
export const DOOR_LIMITS: DoorLimits = {
  strangersMax: 3000,
  strangersPerAddressMax: 1500,
  strangerMs: 5000,
  perPersonMax: 128,
  perAgentMax: 8,
};

const SWEEP_MS = 500;

interface Visitor {
  readonly socket: Socket;
  readonly address: string;
  readonly sinceMs: number;
  /** null: a stranger. */
  caller: string | null;
}

export class Door {
  readonly #limits: DoorLimits;
  /** By address, the oldest first. */
  readonly #strangers = new Map<string, Set<Visitor>>();
  readonly #visitors = new Map<string, Visitor>();
  readonly #callers = new Map<string, number>();
  #strangerCount = 0;

  constructor(server: Server, limits: DoorLimits = DOOR_LIMITS) {
    this.#limits = limits;
    // Of a server with TLS too, this is the connection below it: a handshake that is never finished is a stranger as
    // well.
    server.on('connection', (socket: Socket) => this.#enter(socket));
    const sweep = setInterval(() => this.#cutLate(), SWEEP_MS).unref();
    server.once('close', () => clearInterval(sweep));
  }

  /** Its connection is an authenticated one from now on. @returns false: this caller has too many already */
  welcome(socket: Socket, identity: Identity): boolean {
    const visitor = this.#visitors.get(keyOf(socket));
    // It has gone meanwhile.
    if (visitor === undefined) return true;
    const caller = `${identity.role} ${identity.name}`;
    if (visitor.caller === caller) return true;
    const { perAgentMax, perPersonMax } = this.#limits;
    const count = this.#callers.get(caller) ?? 0;
    if (count >= (identity.role === 'agent' ? perAgentMax : perPersonMax)) return false;
    this.#forget(visitor);
    visitor.caller = caller;
    this.#callers.set(caller, count + 1);
    return true;
  }

  #enter(socket: Socket): void {
    const key = keyOf(socket);
    const address = networkOf(socket.remoteAddress ?? '');
    const visitor: Visitor = { socket, address, sinceMs: performance.now(), caller: null };
    const neighbours = this.#strangers.get(address) ?? new Set();
    this.#strangers.set(address, neighbours.add(visitor));
    this.#visitors.set(key, visitor);
    this.#strangerCount += 1;
    socket.once('close', () => {
      this.#forget(visitor);
      if (this.#visitors.get(key) === visitor) this.#visitors.delete(key);
    });
    const { strangersMax, strangersPerAddressMax } = this.#limits;
    if (neighbours.size > strangersPerAddressMax) this.#cutOldest(neighbours);
    else if (this.#strangerCount > strangersMax) this.#cutOldest(this.#mostCrowded());
  }

  #forget(visitor: Visitor): void {
    if (visitor.caller !== null) {
      const left = (this.#callers.get(visitor.caller) ?? 0) - 1;
      if (left > 0) this.#callers.set(visitor.caller, left);
      else this.#callers.delete(visitor.caller);
      visitor.caller = null;
      return;
    }
    const neighbours = this.#strangers.get(visitor.address);
    if (neighbours?.delete(visitor) !== true) return;
    this.#strangerCount -= 1;
    if (neighbours.size === 0) this.#strangers.delete(visitor.address);
  }

  #mostCrowded(): Set<Visitor> {
    let most = new Set<Visitor>();
    for (const neighbours of this.#strangers.values()) if (neighbours.size > most.size) most = neighbours;
    return most;
  }

  #cutOldest(neighbours: Set<Visitor>): void {
    const [oldest] = neighbours;
    if (oldest !== undefined) this.#cut(oldest);
  }

  #cutLate(): void {
    const before = performance.now() - this.#limits.strangerMs;
    for (const neighbours of [...this.#strangers.values()]) {
      for (const visitor of neighbours) {
        if (visitor.sinceMs > before) break;
        this.#cut(visitor);
      }
    }
  }

  /** At once, without waiting for the other end: it need not answer. */
  #cut(visitor: Visitor): void {
    this.#forget(visitor);
    visitor.socket.destroy();
  }
}

/** The same for a connection and for the TLS above it. */
function keyOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress} ${remotePort}`;
}

/** What one attacker has at once: an IPv4 address, or the 64 bits of a network of IPv6 (RFC 4291, section 2.5.4). */
export function networkOf(address: string): string {
  const mapped = /^::ffff:([0-9.]+)$/i.exec(address)?.[1];
  if (mapped !== undefined || !address.includes(':')) return mapped ?? address;
  const [head = '', tail] = address.replace(/%.*$/, '').split('::');
  const first = head === '' ? [] : head.split(':');
  const last = tail === undefined || tail === '' ? [] : tail.split(':');
  const zeros = tail === undefined ? 0 : Math.max(0, 8 - first.length - last.length);
  const groups = [...first, ...Array<string>(zeros).fill('0'), ...last].slice(0, 4);
  return `${groups.map((group) => Number.parseInt(group, 16).toString(16)).join(':')}::/64`;
}
