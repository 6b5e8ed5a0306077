import { readFileSync, realpathSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { errnoOf } from '../../base/mod.ts';

/**
 * The kernel's count of disks at the moment when this one got its device name (sysfs, diskseq, Linux 5.15): another disk, or
 * another file behind a loop device, has another number. Null where the kernel does not count, or there is no such device.
 *
 * @param number "MAJOR:MINOR" of a disk or a partition
 */
export function diskSequence(number: string): string | null {
  try {
    const folder = realpathSync(join('/sys/dev/block', number));
    return readText(join(folder, 'diskseq')) ?? readText(join(dirname(folder), 'diskseq'));
  } catch (cause) {
    if (errnoOf(cause) === null) throw cause;
    return null;
  }
}

function readText(path: string): string | null {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch (cause) {
    if (errnoOf(cause) === null) throw cause;
    return null;
  }
}
