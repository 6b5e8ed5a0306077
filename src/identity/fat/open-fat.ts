// A FAT file system that is a file of its own, from its first byte on.
import { UnderstudyError } from '../../base/mod.ts';
import { ImageFile } from '../ext/mod.ts';
import { BOOT_SECTOR_BYTES, parseBootSector } from './boot-sector.ts';
import { FatTree } from './fat-tree.ts';

/** The caller closes `file`. @param image what messages call it @throws IMAGE_DAMAGED when it is none */
export async function openFat(
  path: string,
  image: string,
  signal: AbortSignal,
): Promise<{ readonly tree: FatTree; readonly file: ImageFile }> {
  const file = await ImageFile.open(path, image, signal);
  try {
    const boot = parseBootSector(file.read(0, BOOT_SECTOR_BYTES));
    if (boot === null)
      throw new UnderstudyError('IMAGE_DAMAGED', `a FAT file system in ${image} has lost its boot sector`);
    return { tree: new FatTree(file, 0, boot), file };
  } catch (error) {
    await file.close();
    throw error;
  }
}
