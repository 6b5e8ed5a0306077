// The superblock of ext2, ext3 and ext4: linux/Documentation/filesystems/ext4/super.rst. Its numbers are the image's own and are
// held against each other here, once.
import { uuidOf } from '../uuid.ts';

export const SUPERBLOCK_OFFSET_BYTES = 1024;
export const SUPERBLOCK_BYTES = 1024;
export const ROOT_INODE = 2;

const MAGIC = 0xef53;

export const INCOMPATIBLE = {
  recover: 0x4,
  journalDevice: 0x8,
  metaGroups: 0x10,
  extents: 0x40,
  wide: 0x80,
  largeFolders: 0x4000,
} as const;
const SPARSE_SUPER = 0x1;
const HAS_JOURNAL = 0x4;
const SPARSE_SUPER2 = 0x200;

/** What this reader understands, and what cannot hurt a reader: MMP, EA_INODE, CSUM_SEED, ENCRYPT, CASEFOLD... */
const UNDERSTOOD =
  0x2 | 0x4 | 0x10 | 0x40 | 0x80 | 0x100 | 0x200 | 0x400 | 0x2000 | 0x4000 | 0x8000 | 0x10000 | 0x20000;

export interface Superblock {
  readonly uuid: string;
  readonly label: string;
  readonly inodeCount: number;
  readonly blockCount: number;
  readonly firstBlock: number;
  readonly blockBytes: number;
  readonly blocksPerGroup: number;
  readonly inodesPerGroup: number;
  readonly inodeBytes: number;
  readonly descriptorBytes: number;
  /** First group whose descriptors lie in their own meta group; Infinity when none do. */
  readonly firstMetaGroup: number;
  readonly sparse: boolean;
  /** The groups with copies of the superblock when the feature sparse_super2 is on, else null. */
  readonly backupGroups: readonly number[] | null;
  readonly incompatible: number;
  /** Its journal has to be replayed before anything else is believed. */
  readonly needsRecovery: boolean;
  /** It was put away in order: unmounted, no error ever noticed, no file waiting to be removed. Whether that is true, a check tells. */
  readonly saysWhole: boolean;
}

export type SuperblockResult =
  | { readonly kind: 'ext'; readonly superblock: Superblock }
  | { readonly kind: 'none' }
  | { readonly kind: 'unsupported' | 'damaged'; readonly why: string };

/** @param bytes the 1024 bytes at offset 1024 of where a file system may begin */
export function parseSuperblock(bytes: Buffer): SuperblockResult {
  if (bytes.length < SUPERBLOCK_BYTES || bytes.readUInt16LE(0x38) !== MAGIC) return { kind: 'none' };
  const old = bytes.readUInt32LE(0x4c) === 0;
  const compatible = old ? 0 : bytes.readUInt32LE(0x5c);
  const incompatible = old ? 0 : bytes.readUInt32LE(0x60);
  const readOnlyCompatible = old ? 0 : bytes.readUInt32LE(0x64);
  const strange = incompatible & ~UNDERSTOOD;
  if (strange !== 0) {
    const what = strange === INCOMPATIBLE.journalDevice ? 'is a journal' : `has features 0x${strange.toString(16)}`;
    return { kind: 'unsupported', why: `a file system of the ext family ${what}` };
  }
  if ((compatible & HAS_JOURNAL) !== 0 && bytes.readUInt32LE(0xe0) === 0) {
    return { kind: 'unsupported', why: 'its journal lies on another device' };
  }
  const wide = (incompatible & INCOMPATIBLE.wide) !== 0;
  const superblock: Superblock = {
    uuid: uuidOf(bytes.toString('hex', 0x68, 0x78)),
    label: bytes.toString('utf8', 0x78, 0x88).replace(/\0.*$/s, ''),
    inodeCount: bytes.readUInt32LE(0),
    blockCount: bytes.readUInt32LE(4) + (wide ? bytes.readUInt32LE(0x150) * 2 ** 32 : 0),
    firstBlock: bytes.readUInt32LE(0x14),
    blockBytes: 2 ** (10 + bytes.readUInt32LE(0x18)),
    blocksPerGroup: bytes.readUInt32LE(0x20),
    inodesPerGroup: bytes.readUInt32LE(0x28),
    inodeBytes: old ? 128 : bytes.readUInt16LE(0x58),
    descriptorBytes: wide ? bytes.readUInt16LE(0xfe) : 32,
    firstMetaGroup:
      (incompatible & INCOMPATIBLE.metaGroups) !== 0 ? bytes.readUInt32LE(0x104) : Number.POSITIVE_INFINITY,
    sparse: (readOnlyCompatible & SPARSE_SUPER) !== 0,
    backupGroups: (compatible & SPARSE_SUPER2) !== 0 ? [bytes.readUInt32LE(0x24c), bytes.readUInt32LE(0x250)] : null,
    incompatible,
    needsRecovery: (incompatible & INCOMPATIBLE.recover) !== 0,
    saysWhole: isPutAway(bytes) && (incompatible & INCOMPATIBLE.recover) === 0,
  };
  const fault = faultOf(superblock);
  return fault === null ? { kind: 'ext', superblock } : { kind: 'damaged', why: fault };
}

/** s_state is EXT4_VALID_FS alone, and s_last_orphan names no inode. */
function isPutAway(bytes: Buffer): boolean {
  return bytes.readUInt16LE(0x3a) === 1 && bytes.readUInt32LE(0xe8) === 0;
}

function faultOf(superblock: Superblock): string | null {
  const { blockBytes, blockCount, firstBlock, blocksPerGroup, inodesPerGroup, inodeBytes, descriptorBytes } =
    superblock;
  const sound =
    blockBytes <= 65536 &&
    (firstBlock === 0 || (firstBlock === 1 && blockBytes === 1024)) &&
    blockCount > firstBlock &&
    Number.isSafeInteger(blockCount * blockBytes) &&
    blocksPerGroup >= 8 &&
    blocksPerGroup <= blockBytes * 64 * 1024 &&
    inodesPerGroup >= 8 &&
    inodesPerGroup <= blockBytes * 8 &&
    isPowerOfTwo(inodeBytes) &&
    inodeBytes >= 128 &&
    inodeBytes <= blockBytes &&
    isPowerOfTwo(descriptorBytes) &&
    descriptorBytes >= 32 &&
    descriptorBytes <= blockBytes;
  if (!sound) return 'its superblock has impossible numbers';
  const groups = Math.ceil((blockCount - firstBlock) / blocksPerGroup);
  return superblock.inodeCount <= groups * inodesPerGroup
    ? null
    : 'its superblock counts more inodes than it has room for';
}

function isPowerOfTwo(value: number): boolean {
  return value > 0 && Number.isInteger(Math.log2(value));
}

/** Whether a group begins with a copy of the superblock (super.rst, "sparse_super"). */
export function hasSuperblock(superblock: Superblock, group: number): boolean {
  if (group === 0) return true;
  if (superblock.backupGroups !== null) return superblock.backupGroups.includes(group);
  if (!superblock.sparse || group === 1) return true;
  return [3, 5, 7].some((base) => {
    let power = base;
    while (power < group) power *= base;
    return power === group;
  });
}
