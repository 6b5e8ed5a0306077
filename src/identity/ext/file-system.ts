// Reads an ext2, ext3 or ext4 file system out of an image, in memory-safe code and without a word of a command language in
// between. It believes nothing: each number is held against its bounds before it is used, and every loop has an end that the
// image does not choose. Whether check sums and counts are right is e2fsck's to judge, which sees an image before it is changed.
import { UnderstudyError } from '../../base/mod.ts';
import type { ExtendedAttribute } from '../tree/mod.ts';
import { blockAttributes, bodyAttributes } from './attributes.ts';
import { extentBlock, listedBlock } from './block-map.ts';
import { readEntries } from './folder.ts';
import type { ImageFile } from './image-file.ts';
import { BLOCK_MAP_BYTES, INODE_FLAGS, type Inode, parseInode } from './inode.ts';
import { hasSuperblock, INCOMPATIBLE, type Superblock } from './superblock.ts';

/** Folders of more names or bytes are refused. Real ones with configuration stay far below. */
const FOLDER_NAMES_MAX = 100_000;
const FOLDER_BYTES_MAX = 64 * 1024 * 1024;
const LINK_BYTES_MAX = 4095;
const INLINE_DATA = 'system.data';

export class ExtFileSystem {
  readonly superblock: Superblock;
  readonly #image: ImageFile;
  readonly #offsetBytes: number;

  /** @param offsetBytes where in the image it begins */
  constructor(image: ImageFile, offsetBytes: number, superblock: Superblock) {
    this.#image = image;
    this.#offsetBytes = offsetBytes;
    this.superblock = superblock;
  }

  /** @throws IMAGE_DAMAGED for numbers that no inode has */
  async inode(number: number): Promise<Inode> {
    const { inodeCount, inodesPerGroup, inodeBytes, blockBytes, incompatible } = this.superblock;
    if (number < 1 || number > inodeCount) this.#damaged(`a name belongs to inode ${number}, which does not exist`);
    const index = (number - 1) % inodesPerGroup;
    const table = await this.#inodeTable(Math.floor((number - 1) / inodesPerGroup));
    const block = table + Math.floor((index * inodeBytes) / blockBytes);
    const offset = (index * inodeBytes) % blockBytes;
    const bytes = (await this.block(block)).subarray(offset, offset + inodeBytes);
    const inode = parseInode(number, bytes, (incompatible & INCOMPATIBLE.largeFolders) !== 0);
    return inode ?? this.#damaged(`a name belongs to inode ${number}, which is no file`);
  }

  /** The first bytes of a file, what was never written reading as zeros. */
  async data(inode: Inode, bytesMax: number): Promise<Buffer> {
    const { blockBytes } = this.superblock;
    const lengthBytes = Math.min(inode.sizeBytes, bytesMax);
    if ((inode.flags & INODE_FLAGS.encrypted) !== 0) this.#unsupported('it is encrypted');
    if ((inode.flags & INODE_FLAGS.inline) !== 0) return this.#inlineData(inode, lengthBytes);
    const parts: Buffer[] = [];
    for (let logical = 0; logical * blockBytes < lengthBytes; logical++) {
      const block = await this.#blockOf(inode, logical);
      const part = block === 0 ? Buffer.alloc(blockBytes) : await this.block(block);
      parts.push(part.subarray(0, lengthBytes - logical * blockBytes));
    }
    return Buffer.concat(parts, lengthBytes);
  }

  /** All of a file in pieces, for those that are too large to be held. */
  async *pieces(inode: Inode): AsyncGenerator<Buffer> {
    const { blockBytes } = this.superblock;
    if ((inode.flags & (INODE_FLAGS.encrypted | INODE_FLAGS.inline)) !== 0)
      return yield await this.data(inode, blockBytes);
    for (let logical = 0; logical * blockBytes < inode.sizeBytes; logical++) {
      const block = await this.#blockOf(inode, logical);
      const piece = block === 0 ? Buffer.alloc(blockBytes) : await this.block(block);
      yield piece.subarray(0, inode.sizeBytes - logical * blockBytes);
    }
  }

  async linkTarget(inode: Inode): Promise<Buffer> {
    if (inode.sizeBytes > LINK_BYTES_MAX) this.#damaged('a symbolic link is too long');
    const isInMap =
      inode.sizeBytes < BLOCK_MAP_BYTES && (inode.flags & (INODE_FLAGS.extents | INODE_FLAGS.inline)) === 0;
    return isInMap ? inode.map.subarray(0, inode.sizeBytes) : this.data(inode, LINK_BYTES_MAX);
  }

  /** @throws IMAGE_UNSUPPORTED when it is too large */
  async folder(inode: Inode): Promise<ReadonlyMap<string, number>> {
    const names = new Map<string, number>();
    const damaged = (why: string): never => this.#damaged(why);
    if (inode.sizeBytes > FOLDER_BYTES_MAX) this.#unsupported('a folder of it is too large');
    const { blockBytes } = this.superblock;
    const data = await this.data(inode, FOLDER_BYTES_MAX);
    if ((inode.flags & INODE_FLAGS.inline) !== 0) {
      // Four bytes with the number of the parent, entries in what is left of the map, and more behind it.
      readEntries(data.subarray(4, BLOCK_MAP_BYTES), names, damaged);
      readEntries(data.subarray(BLOCK_MAP_BYTES), names, damaged);
      return names;
    }
    for (let at = 0; at + blockBytes <= data.length; at += blockBytes) {
      readEntries(data.subarray(at, at + blockBytes), names, damaged);
      if (names.size > FOLDER_NAMES_MAX) this.#unsupported(`a folder of it has more than ${FOLDER_NAMES_MAX} names`);
    }
    return names;
  }

  /** @throws IMAGE_UNSUPPORTED for attributes whose values lie elsewhere or are of an unknown kind */
  async attributes(inode: Inode): Promise<readonly ExtendedAttribute[]> {
    const inBody = bodyAttributes(inode.body);
    const inBlock = inode.attributeBlock === 0 ? [] : blockAttributes(await this.block(inode.attributeBlock));
    if (inBody === null || inBlock === null) this.#unsupported('a file has extended attributes that cannot be read');
    return [...inBody, ...inBlock].filter(({ name }) => name !== INLINE_DATA);
  }

  async block(number: number): Promise<Buffer> {
    const { blockBytes, blockCount } = this.superblock;
    if (number < this.superblock.firstBlock || number >= blockCount) this.#damaged(`block ${number} does not exist`);
    const bytes = await this.#image.read(this.#offsetBytes + number * blockBytes, blockBytes);
    return bytes.length === blockBytes ? bytes : this.#damaged('it is larger than the image');
  }

  #blockOf(inode: Inode, logical: number): Promise<number> {
    const read = (block: number): Promise<Buffer> => this.block(block);
    if ((inode.flags & INODE_FLAGS.extents) === 0) {
      return listedBlock(inode.map, logical, this.superblock.blockBytes, read);
    }
    return extentBlock(inode.map, logical, read, (why) => this.#damaged(why));
  }

  async #inlineData(inode: Inode, lengthBytes: number): Promise<Buffer> {
    const more = bodyAttributes(inode.body)?.find(({ name }) => name === INLINE_DATA)?.value ?? Buffer.alloc(0);
    const data = Buffer.concat([inode.map, more]);
    return data.length >= lengthBytes
      ? data.subarray(0, lengthBytes)
      : this.#damaged('a file inside its inode is cut off');
  }

  async #inodeTable(group: number): Promise<number> {
    const { descriptorBytes, blockBytes } = this.superblock;
    const perBlock = blockBytes / descriptorBytes;
    const block = await this.block(this.#descriptorBlock(group, perBlock));
    const at = (group % perBlock) * descriptorBytes;
    return block.readUInt32LE(at + 8) + (descriptorBytes >= 64 ? block.readUInt32LE(at + 0x28) * 2 ** 32 : 0);
  }

  #descriptorBlock(group: number, perBlock: number): number {
    const { firstBlock, blockBytes, blocksPerGroup, firstMetaGroup } = this.superblock;
    const metaGroup = Math.floor(group / perBlock);
    // Clusters of blocks of 1 KiB begin with block 0, and so have the superblock in block 1.
    const shift = firstBlock === 0 && blockBytes === 1024 ? 1 : 0;
    if (metaGroup < firstMetaGroup) return firstBlock + shift + 1 + metaGroup;
    const firstGroup = metaGroup * perBlock;
    const superblocks = hasSuperblock(this.superblock, firstGroup) ? 1 : 0;
    return firstBlock + firstGroup * blocksPerGroup + superblocks + (firstGroup === 0 ? shift : 0);
  }

  #damaged(why: string): never {
    throw new UnderstudyError('IMAGE_DAMAGED', `the file system in ${this.#image.name} is damaged: ${why}`);
  }

  #unsupported(why: string): never {
    throw new UnderstudyError('IMAGE_UNSUPPORTED', `the file system in ${this.#image.name} cannot be used: ${why}`);
  }
}
