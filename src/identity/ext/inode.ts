// Inodes: linux/Documentation/filesystems/ext4/inodes.rst.

export const INODE_FLAGS = { encrypted: 0x800, extents: 0x80000, inline: 0x10000000 } as const;
const BLOCK_MAP_OFFSET_BYTES = 0x28;
export const BLOCK_MAP_BYTES = 60;

export type InodeKind = 'file' | 'folder' | 'link' | 'other';

export interface Inode {
  readonly number: number;
  readonly kind: InodeKind;
  /** Permission bits. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly sizeBytes: number;
  readonly links: number;
  /** When its content changed last, seconds since 1970. */
  readonly modified: number;
  readonly flags: number;
  /** The 60 bytes that hold an extent tree's root, block numbers, a short link, or the file itself. */
  readonly map: Buffer;
  /** Block of extended attributes, or 0. */
  readonly attributeBlock: number;
  /** What follows the inode's own fields: extended attributes with their magic, or nothing. */
  readonly body: Buffer;
}

const KINDS: Readonly<Record<number, InodeKind>> = { 4: 'folder', 8: 'file', 10: 'link' };
const OTHER_TYPES = [1, 2, 6, 12];

/** Null when its mode names no type of file. */
export function parseInode(number: number, bytes: Buffer, largeFolders: boolean): Inode | null {
  const fullMode = bytes.readUInt16LE(0);
  const type = fullMode >> 12;
  const kind = KINDS[type] ?? (OTHER_TYPES.includes(type) ? 'other' : null);
  if (kind === null) return null;
  const sizeHigh = kind === 'file' || (kind === 'folder' && largeFolders) ? bytes.readUInt32LE(0x6c) : 0;
  return {
    number,
    kind,
    mode: fullMode & 0o7777,
    uid: bytes.readUInt16LE(2) + bytes.readUInt16LE(0x78) * 2 ** 16,
    gid: bytes.readUInt16LE(0x18) + bytes.readUInt16LE(0x7a) * 2 ** 16,
    sizeBytes: bytes.readUInt32LE(4) + sizeHigh * 2 ** 32,
    links: bytes.readUInt16LE(0x1a),
    modified: bytes.readUInt32LE(0x10),
    flags: bytes.readUInt32LE(0x20),
    map: bytes.subarray(BLOCK_MAP_OFFSET_BYTES, BLOCK_MAP_OFFSET_BYTES + BLOCK_MAP_BYTES),
    attributeBlock: bytes.readUInt32LE(0x68) + bytes.readUInt16LE(0x76) * 2 ** 32,
    body: bodyOf(bytes),
  };
}

function bodyOf(bytes: Buffer): Buffer {
  if (bytes.length <= 130) return Buffer.alloc(0);
  return bytes.subarray(Math.min(128 + bytes.readUInt16LE(0x80), bytes.length));
}
