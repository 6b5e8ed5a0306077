// Waiting for a condition of the world: looked at again and again, given up after a bound that names what was awaited.
import { setTimeout as delay } from 'node:timers/promises';
import { patience } from './patience.ts';

/** Far above what anything here takes on a machine that is busy with other things. */
export const PATIENCE_MS = patience(40_000);
const LOOK_MS = 10;

/** Looks until the answer is neither false, null nor undefined, and returns it. */
export async function eventually<T>(
  what: string | (() => string),
  look: () => T | Promise<T>,
  patienceMs = PATIENCE_MS,
): Promise<NonNullable<Exclude<T, false>>> {
  const deadline = performance.now() + patienceMs;
  for (;;) {
    const answer = await look();
    if (answer !== false && answer !== null && answer !== undefined) return answer as NonNullable<Exclude<T, false>>;
    if (performance.now() > deadline) {
      throw new Error(`waited ${patienceMs} ms in vain: ${typeof what === 'string' ? what : what()}`);
    }
    await delay(LOOK_MS);
  }
}
