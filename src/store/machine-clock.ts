// The time of this machine, the same for all its processes since it was started (lease-rules.ts says why leases need that).
import { readFileSync } from 'node:fs';
import type { LeaseClock } from './lease-rules.ts';

/** Random for each start of the kernel: random(4), "/proc interfaces". */
const BOOT_ID = '/proc/sys/kernel/random/boot_id';

/** CLOCK_MONOTONIC (clock_gettime(2)), which is what Node.js' hrtime is on Linux. Not performance.now(): that begins anew in each process. */
export function machineClock(): LeaseClock {
  return {
    nowMs: () => Number(process.hrtime.bigint()) / 1e6,
    era: readFileSync(BOOT_ID, 'utf8').trim(),
  };
}
