// Reads an ext2, ext3 or ext4 file system out of an image, in memory-safe code and without a word of a command language
// in between. It believes nothing: each number is held against its bounds before it is used, and every loop has an end
// that the image does not choose. Whether check sums and counts are right is e2fsck's to judge, which sees an image
// before it is changed.
import { UnderstudyError } from '../../base/mod.ts';
import type { ExtendedAttribute } from '../tree/mod.ts';
import { blockAttributes, bodyAttributes } from './attributes.ts';
import { extentRun, listedBlock, type Run } from './block-map.ts';
import { readEntries } from './folder.ts';
import type { ImageFile } from './image-file.ts';
import { BLOCK_MAP_BYTES, INODE_FLAGS, type Inode, parseInode } from './inode.ts';
import { hasSuperblock, INCOMPATIBLE, type Superblock } from './superblock.ts';

/** Folders of more names or bytes are refused. Real ones with configuration stay far below. */
const FOLDER_NAMES_MAX = 100_000;
const FOLDER_BYTES_MAX = 64 * 1024 * 1024;
const LINK_BYTES_MAX = 4095;
const INLINE_DATA = 'system.data';
const PIECE_BYTES_MAX = 1024 * 1024;

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
  inode(number: number): Inode {
    const { inodeCount, inodesPerGroup, inodeBytes, blockBytes, incompatible } = this.superblock;
    if (number < 1 || number > inodeCount) this.#damaged(`a name belongs to inode ${number}, which does not exist`);
    const index = (number - 1) % inodesPerGroup;
    const table = this.#inodeTable(Math.floor((number - 1) / inodesPerGroup));
    const block = table + Math.floor((index * inodeBytes) / blockBytes);
    const offset = (index * inodeBytes) % blockBytes;
    const bytes = this.block(block).subarray(offset, offset + inodeBytes);
    const inode = parseInode(number, bytes, (incompatible & INCOMPATIBLE.largeFolders) !== 0);
    return inode ?? this.#damaged(`a name belongs to inode ${number}, which is no file`);
  }

  /** The first bytes of a file, what was never written reading as zeros. */
  data(inode: Inode, bytesMax: number): Buffer {
    const { blockBytes } = this.superblock;
    const lengthBytes = Math.min(inode.sizeBytes, bytesMax);
    if ((inode.flags & INODE_FLAGS.encrypted) !== 0) this.#unsupported('it is encrypted');
    if ((inode.flags & INODE_FLAGS.inline) !== 0) return this.#inlineData(inode, lengthBytes);
    const parts: Buffer[] = [];
    for (let done = 0; done < lengthBytes; ) {
      const part = this.#run(inode, done / blockBytes, Math.ceil((lengthBytes - done) / blockBytes));
      parts.push(part.subarray(0, lengthBytes - done));
      done += part.length;
    }
    const [only] = parts;
    if (parts.length === 1 && only !== undefined) return only;
    return Buffer.concat(parts, lengthBytes);
  }

  /** All of a file in pieces, for those that are too large to be held. */
  async *pieces(inode: Inode): AsyncGenerator<Buffer> {
    const { blockBytes } = this.superblock;
    if ((inode.flags & (INODE_FLAGS.encrypted | INODE_FLAGS.inline)) !== 0) return yield this.data(inode, blockBytes);
    for (let done = 0; done < inode.sizeBytes; ) {
      const piece = this.#run(inode, done / blockBytes, Math.ceil(PIECE_BYTES_MAX / blockBytes));
      yield piece.subarray(0, inode.sizeBytes - done);
      done += piece.length;
    }
  }

  linkTarget(inode: Inode): Buffer {
    if (inode.sizeBytes > LINK_BYTES_MAX) this.#damaged('a symbolic link is too long');
    const isInMap =
      inode.sizeBytes < BLOCK_MAP_BYTES && (inode.flags & (INODE_FLAGS.extents | INODE_FLAGS.inline)) === 0;
    return isInMap ? inode.map.subarray(0, inode.sizeBytes) : this.data(inode, LINK_BYTES_MAX);
  }

  /** @throws IMAGE_UNSUPPORTED when it is too large */
  folder(inode: Inode): ReadonlyMap<string, number> {
    const names = new Map<string, number>();
    const damaged = (why: string): never => this.#damaged(why);
    if (inode.sizeBytes > FOLDER_BYTES_MAX) this.#unsupported('a folder of it is too large');
    const { blockBytes } = this.superblock;
    const data = this.data(inode, FOLDER_BYTES_MAX);
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
  attributes(inode: Inode): readonly ExtendedAttribute[] {
    const inBody = bodyAttributes(inode.body);
    const inBlock = inode.attributeBlock === 0 ? [] : blockAttributes(this.block(inode.attributeBlock));
    if (inBody === null || inBlock === null) this.#unsupported('a file has extended attributes that cannot be read');
    return [...inBody, ...inBlock].filter(({ name }) => name !== INLINE_DATA);
  }

  block(number: number): Buffer {
    return this.#blocks(number, 1);
  }

  #blocks(first: number, count: number): Buffer {
    const { blockBytes, blockCount, firstBlock } = this.superblock;
    if (first < firstBlock || first + count > blockCount) this.#damaged(`block ${first} does not exist`);
    const bytes = this.#image.read(this.#offsetBytes + first * blockBytes, count * blockBytes);
    return bytes.length === count * blockBytes ? bytes : this.#damaged('it is larger than the image');
  }

  /** Blocks of a file from a logical one on that lie in order, one at least. */
  #run(inode: Inode, logical: number, countMax: number): Buffer {
    const { block, count } = this.#placeOf(inode, logical);
    if (block === 0) return Buffer.alloc(this.superblock.blockBytes);
    return this.#blocks(block, Math.min(count, countMax));
  }

  #placeOf(inode: Inode, logical: number): Run {
    const read = (block: number): Buffer => this.block(block);
    if ((inode.flags & INODE_FLAGS.extents) === 0)
      return { block: listedBlock(inode.map, logical, this.superblock.blockBytes, read), count: 1 };
    return extentRun(inode.map, logical, read, (why) => this.#damaged(why));
  }

  #inlineData(inode: Inode, lengthBytes: number): Buffer {
    const more = bodyAttributes(inode.body)?.find(({ name }) => name === INLINE_DATA)?.value ?? Buffer.alloc(0);
    const data = Buffer.concat([inode.map, more]);
    return data.length >= lengthBytes
      ? data.subarray(0, lengthBytes)
      : this.#damaged('a file inside its inode is cut off');
  }

  #inodeTable(group: number): number {
    const { descriptorBytes, blockBytes } = this.superblock;
    const perBlock = blockBytes / descriptorBytes;
    const block = this.block(this.#descriptorBlock(group, perBlock));
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
