// Where stamps lie in the storage folder.
import { join } from 'node:path';
import { diskKey } from './disk-key.ts';
import { Stamps } from './stamps.ts';
import { TextFolder } from './text-folder.ts';

export function textsIn(storageFolder: string): TextFolder {
  return new TextFolder(join(storageFolder, 'stamps'));
}

/** @param pathOf of a volume, now */
export function stampsAt(storageFolder: string, pathOf: (volume: string) => string): Stamps {
  return new Stamps({ texts: textsIn(storageFolder), diskOf: (volume) => diskKey(pathOf(volume)), pathOf });
}
