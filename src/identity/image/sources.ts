// What is to be written into an image, as files of ours that the programs take it from.
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

export interface Sources {
  /** The path of a file that holds it; what is a path already stays where it is. @param name of its own, without slashes */
  put(name: string, bytes: Buffer | string): Promise<string>;
}

/** @param folder private; they are in it for as long as `use` takes */
export async function withSources<T>(folder: string, use: (sources: Sources) => Promise<T>): Promise<T> {
  const place = join(folder, 'sources');
  await mkdir(place, { mode: 0o700 });
  try {
    return await use({
      async put(name, bytes) {
        if (typeof bytes === 'string') return bytes;
        const path = join(place, name);
        await writeFile(path, bytes, { mode: 0o600, flag: 'wx' });
        return path;
      },
    });
  } finally {
    await rm(place, { recursive: true, force: true });
  }
}
