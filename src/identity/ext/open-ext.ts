// A file system that is a file of its own, from its first byte on.
import { UnderstudyError } from '../../base/mod.ts';
import { ExtTree } from './ext-tree.ts';
import { ExtFileSystem } from './file-system.ts';
import { ImageFile } from './image-file.ts';
import { parseSuperblock, SUPERBLOCK_BYTES, SUPERBLOCK_OFFSET_BYTES, type Superblock } from './superblock.ts';

export interface OpenExt {
  readonly tree: ExtTree;
  readonly superblock: Superblock;
  readonly file: ImageFile;
}

/**
 * The caller closes `file`. @param image what messages call it @throws IMAGE_DAMAGED when it is none, or its journal is
 * dirty
 */
export async function openExt(path: string, image: string, signal: AbortSignal): Promise<OpenExt> {
  const file = await ImageFile.open(path, image, signal);
  try {
    const result = parseSuperblock(file.read(SUPERBLOCK_OFFSET_BYTES, SUPERBLOCK_BYTES));
    if (result.kind !== 'ext') throw new UnderstudyError('IMAGE_DAMAGED', `${image} has lost its superblock`);
    const { superblock } = result;
    if (superblock.needsRecovery) {
      throw new UnderstudyError('IMAGE_DAMAGED', `the journal of the file system in ${image} cannot be replayed`);
    }
    return { tree: new ExtTree(new ExtFileSystem(file, 0, superblock)), superblock, file };
  } catch (error) {
    await file.close();
    throw error;
  }
}
