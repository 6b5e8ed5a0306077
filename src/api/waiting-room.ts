// Strangers, and callers that are refused, are answered at a pace: a few of one address at once, the others a little
// later. A flood of them then costs its senders time, and the server a bounded share of its own. A caller that is let
// in waits for none of this, also at the address of a flood.
import type { Socket } from 'node:net';
import { networkOf } from './door.ts';
import { Pace, type PaceLimits } from './pace.ts';

export interface WaitingLimits {
  /** Answers without a wait, for each address. */
  readonly pace: PaceLimits;
  /** How long the others wait, milliseconds. */
  readonly waitMs: number;
  /** Of one address that wait at a time: with the next, the one that has waited longest is answered. */
  readonly waitingMax: number;
  /** Addresses that are told apart. */
  readonly addressesMax: number;
}

/** With 64 connections that come again as soon as they are refused: 256 refusals a second instead of thousands. */
export const WAITING_LIMITS: WaitingLimits = {
  pace: { perSecond: 20, burst: 50 },
  waitMs: 250,
  waitingMax: 256,
  addressesMax: 4096,
};

export class WaitingRoom {
  readonly #limits: WaitingLimits;
  readonly #pace: Pace;
  /** What ends each wait, by address, the longest first. */
  readonly #waiting = new Map<string, Set<() => void>>();

  constructor(limits = WAITING_LIMITS) {
    this.#limits = limits;
    this.#pace = new Pace(limits.pace, { namesMax: limits.addressesMax });
  }

  /** Resolves when the request may be answered, or its connection is closed. What it still sends is not read so long. */
  turn(socket: Socket): Promise<void> {
    const address = networkOf(socket.remoteAddress ?? '');
    if (socket.destroyed || this.#pace.take(address)) return Promise.resolve();
    const waiting = this.#waiting.get(address) ?? new Set();
    this.#waiting.set(address, waiting);
    return new Promise((resolve) => {
      const end = (): void => {
        clearTimeout(timer);
        socket.removeListener('close', end);
        waiting.delete(end);
        if (waiting.size === 0 && this.#waiting.get(address) === waiting) this.#waiting.delete(address);
        resolve();
      };
      const timer = setTimeout(end, this.#limits.waitMs);
      socket.once('close', end);
      waiting.add(end);
      const [longest] = waiting;
      if (waiting.size > this.#limits.waitingMax) longest?.();
    });
  }
}
