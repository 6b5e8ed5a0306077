// What "off" means to a plan: read back twice, some time apart. A relay may say so a moment before the machine has really
// stopped, or once by mistake.
import { setTimeout as delay } from 'node:timers/promises';
import type { Call } from '../base/mod.ts';
import type { PowerDriver, PowerState } from './contract.ts';

export interface ReadBackOptions {
  /** Time between the two readings. @default 1000 */
  readonly apartMs?: number;
  /** Injected where a simulation owns time. */
  readonly wait?: (ms: number, signal: AbortSignal) => Promise<void>;
}

const APART_MS = 1000;

async function waitReally(ms: number, signal: AbortSignal): Promise<void> {
  await delay(ms, undefined, { signal });
}

/**
 * Off only if both readings say so; otherwise what the first other reading said. Changes nothing, so it can be repeated.
 * @throws what PowerDriver.state throws, and the reason of the wait's abortion
 */
export async function readBackOff(
  driver: PowerDriver,
  host: string,
  call: Call,
  options: ReadBackOptions = {},
): Promise<PowerState> {
  const first = await driver.state(host, call);
  if (first !== 'off') return first;
  await (options.wait ?? waitReally)(options.apartMs ?? APART_MS, call.signal);
  return driver.state(host, call);
}
