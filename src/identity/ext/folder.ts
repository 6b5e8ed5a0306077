// Folders: linux/Documentation/filesystems/ext4/directory.rst. Blocks of a hash tree's inner nodes, and check sums, look like
// deleted entries to who reads a folder from end to end, which is what is done here.

import { nameOfBytes } from '../tree/mod.ts';
import type { Damaged } from './block-map.ts';

const ENTRY_BYTES_MIN = 8;

/** Adds the names of one block of a folder, with their inode numbers. */
export function readEntries(block: Buffer, into: Map<string, number>, damaged: Damaged): void {
  for (let at = 0; at + ENTRY_BYTES_MIN <= block.length; ) {
    const inode = block.readUInt32LE(at);
    const lengthBytes = entryBytes(block.readUInt16LE(at + 4), block.length);
    const nameBytes = block.readUInt8(at + 6);
    const sound = lengthBytes >= ENTRY_BYTES_MIN && lengthBytes % 4 === 0 && at + lengthBytes <= block.length;
    if (!sound || ENTRY_BYTES_MIN + nameBytes > lengthBytes) damaged('a folder has an entry of impossible length');
    if (inode !== 0)
      addName(block.subarray(at + ENTRY_BYTES_MIN, at + ENTRY_BYTES_MIN + nameBytes), inode, into, damaged);
    at += lengthBytes;
  }
}

/** Blocks of 64 KiB have lengths that 16 bits cannot hold (ext4_rec_len_from_disk). */
function entryBytes(stored: number, blockBytes: number): number {
  if (blockBytes < 65536) return stored;
  return stored === 65535 || stored === 0 ? blockBytes : (stored & 0xfffc) | ((stored & 3) << 16);
}

function addName(bytes: Buffer, inode: number, into: Map<string, number>, damaged: Damaged): void {
  if (bytes.length === 0 || bytes.includes(0) || bytes.includes(0x2f)) damaged('a folder has a name that can be none');
  const name = nameOfBytes(bytes);
  if (name === '.' || name === '..') return;
  // The first of two equal names is the one that the kernel finds.
  if (!into.has(name)) into.set(name, inode);
}
