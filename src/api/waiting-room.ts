// Strangers, and callers that are refused, are answered at a pace: a few of one address at once, the others a little
// later. A flood of them then costs its senders time, and the server a bounded share of its own. A caller that is let
// in waits for none of this, also at the address of a flood.
import type { Socket } from 'node:net';
import { networkOf } from './door.ts';
import { Pace, type PaceLimits } from './pace.ts';

export interface WaitingLimits {
  /** Answers without a wait, for each address. */
  readonly pace: PaceLimits;
  /** How long the others wait at least, milliseconds. */
  readonly waitMs: number;
  /** Where many wait, they wait longer: of one address about so many are answered a second, however many come. */
  readonly perSecondMax: number;
  /** Addresses that are told apart. */
  readonly addressesMax: number;
}

/**
 * 64 connections that come again as soon as they are refused are 256 refusals a second instead of thousands. How many
 * can wait is bounded by the places of strangers and callers (door.ts).
 */
export const WAITING_LIMITS: WaitingLimits = {
  pace: { perSecond: 20, burst: 50 },
  waitMs: 250,
  perSecondMax: 1000,
  addressesMax: 4096,
};

export class WaitingRoom {
  readonly #limits: WaitingLimits;
  readonly #pace: Pace;
  /** How many wait, by address. */
  readonly #waiting = new Map<string, number>();

  constructor(limits = WAITING_LIMITS) {
    this.#limits = limits;
    this.#pace = new Pace(limits.pace, { namesMax: limits.addressesMax });
  }

  /**
   * Resolves when the request may be answered, or its connection is closed. What it still sends is not read so long.
   */
  turn(socket: Socket): Promise<void> {
    const address = networkOf(socket.remoteAddress ?? '');
    if (socket.destroyed || this.#pace.take(address)) return Promise.resolve();
    const waiting = (this.#waiting.get(address) ?? 0) + 1;
    this.#waiting.set(address, waiting);
    const { waitMs, perSecondMax } = this.#limits;
    return new Promise((resolve) => {
      const end = (): void => {
        clearTimeout(timer);
        socket.removeListener('close', end);
        const left = (this.#waiting.get(address) ?? 1) - 1;
        if (left === 0) this.#waiting.delete(address);
        else this.#waiting.set(address, left);
        resolve();
      };
      const timer = setTimeout(end, Math.max(waitMs, (1000 * waiting) / perSecondMax));
      socket.once('close', end);
    });
  }
}
