// Volumes as the configuration names them.
import { statSync } from 'node:fs';
import { errnoOf, UnderstudyError } from '../base/mod.ts';

export interface VolumeName {
  readonly name: string;
  /** Absolute path of a raw file or a block device. */
  readonly path: string;
}

/** @throws CONFIG_INVALID when two names are the same storage */
export function refuseSameStorage(volumes: readonly VolumeName[]): void {
  const seen = new Map<string, string>();
  for (const { name, path } of volumes) {
    const storage = storageOf(path);
    const other = seen.get(storage);
    if (other !== undefined) {
      throw new UnderstudyError('CONFIG_INVALID', `the volumes ${other} and ${name} are the same storage`);
    }
    seen.set(storage, name);
  }
}

/** One text for every name of the same file or device. */
function storageOf(path: string): string {
  try {
    const stats = statSync(path);
    return stats.isBlockDevice() ? `block ${stats.rdev}` : `file ${stats.dev}:${stats.ino}`;
  } catch (cause) {
    // What cannot be reached is told by `status`; its name is all there is to compare.
    if (errnoOf(cause) === null) throw cause;
    return `name ${path}`;
  }
}
