export { ExtTree } from './ext-tree.ts';
export { ExtFileSystem } from './file-system.ts';
export { ImageFile } from './image-file.ts';
export { openExt } from './open-ext.ts';
export {
  parseSuperblock,
  ROOT_INODE,
  SUPERBLOCK_BYTES,
  SUPERBLOCK_OFFSET_BYTES,
  type Superblock,
  type SuperblockResult,
} from './superblock.ts';
