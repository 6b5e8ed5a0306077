// What "off" means to whoever acts on it: read back twice, some time apart. A relay may say so a moment before the
// machine has really stopped, or once by mistake.
import type { PowerState } from './contract.ts';

export interface ReadBack {
  /** Asks the relay what is now. */
  readonly read: () => Promise<PowerState>;
  /** Resolves after so many milliseconds; rejects when whoever asked has ended. */
  readonly pause: (ms: number) => Promise<void>;
}

export interface OffOptions extends ReadBack {
  /** How long it may take until the first of the two readings, milliseconds. */
  readonly timeoutMs: number;
  /** Milliseconds, of the clock by which `pause` waits. */
  readonly nowMs: () => number;
}

/** Between two readings that both say "off": a BMC may still tell the state of a second ago. */
const APART_MS = 1000;
const POLL_MS = 500;

/**
 * Off only if both readings say so; otherwise what the first other reading said. Changes nothing, so it can be
 * repeated.
 * @throws what `read` and `pause` throw
 */
export async function readBackOff({ read, pause }: ReadBack): Promise<PowerState> {
  const first = await read();
  if (first !== 'off') return first;
  await pause(APART_MS);
  return read();
}

/**
 * Reads back until it is off, or the time is over. Whoever cuts the power calls it afterwards.
 * @returns 'off', or what was read last @throws what `read` and `pause` throw
 */
export async function untilOff({ timeoutMs, nowMs, ...readBack }: OffOptions): Promise<PowerState> {
  const deadline = nowMs() + timeoutMs;
  for (;;) {
    const state = await readBackOff(readBack);
    if (state === 'off' || nowMs() >= deadline) return state;
    await readBack.pause(POLL_MS);
  }
}
