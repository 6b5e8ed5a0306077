// Giving back what somebody else may hold a moment longer than we do.
import { requireTool, runTool } from '../../src/base/mod.ts';
import { patience } from './patience.ts';
import { eventually } from './wait.ts';

/** Longest life of a mount namespace that a test beside us makes. */
export const HELD_MS_MAX = patience(8000);

/**
 * Unmounts as soon as it can be done: a process that was killed gives back its memory, and with it its command line, before it
 * closes its files, so it may hold a file system when it can no longer be seen.
 */
export async function unmount(point: string): Promise<void> {
  await eventually(`${point} is unmounted`, async () => {
    const done = await runTool(requireTool('umount', 'mount'), [point]);
    if (done.status === 0) return true;
    if (!done.stderr.includes('target is busy')) throw new Error(`umount ${point}: ${done.stderr}`);
    return false;
  });
}

/**
 * Makes the kernel forget a disk's partitions as soon as it can be done: a mount namespace that a test beside this one made meanwhile
 * has a copy of what was mounted, and holds the partition until it ends.
 */
export async function forgetPartitions(disk: string): Promise<void> {
  let refusal = '';
  await eventually(
    () => `the partitions of ${disk} are forgotten: ${refusal}`,
    async () => {
      const done = await runTool(requireTool('partx', 'util-linux'), ['--delete', disk]);
      refusal = done.stderr;
      return done.status === 0;
    },
    HELD_MS_MAX,
  );
}
