// Unmounting what processes had open that were killed.
import { requireTool, runTool } from '../../src/base/mod.ts';
import { eventually } from './wait.ts';

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
