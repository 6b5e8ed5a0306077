// Extended attributes: linux/Documentation/filesystems/ext4/attributes.rst. They lie behind an inode's fields and in one block
// of their own.
import type { ExtendedAttribute } from '../tree/mod.ts';

const MAGIC = 0xea020000;
const ENTRY_BYTES = 16;
const BLOCK_HEADER_BYTES = 32;
const PREFIXES: Readonly<Record<number, string>> = {
  1: 'user.',
  2: 'system.posix_acl_access',
  3: 'system.posix_acl_default',
  4: 'trusted.',
  6: 'security.',
  7: 'system.',
  8: 'system.richacl',
};

/** Null when what is there contradicts itself, or is of a kind that this reader does not know. */
export type Attributes = readonly ExtendedAttribute[] | null;

export function bodyAttributes(body: Buffer): Attributes {
  if (body.length < 4 || body.readUInt32LE(0) !== MAGIC) return [];
  return parse(body.subarray(4), 0);
}

export function blockAttributes(block: Buffer): Attributes {
  if (block.length < BLOCK_HEADER_BYTES || block.readUInt32LE(0) !== MAGIC) return null;
  return parse(block, BLOCK_HEADER_BYTES);
}

/** Offsets of values count from the start of `area`. */
function parse(area: Buffer, start: number): Attributes {
  const found: ExtendedAttribute[] = [];
  let at = start;
  // The list ends with four zero bytes, or where the area ends.
  while (at + 4 <= area.length && area.readUInt32LE(at) !== 0) {
    if (at + ENTRY_BYTES > area.length) return null;
    const nameBytes = area.readUInt8(at);
    const prefix = PREFIXES[area.readUInt8(at + 1)];
    const valueAt = area.readUInt16LE(at + 2);
    const valueBytes = area.readUInt32LE(at + 8);
    const inOtherInode = area.readUInt32LE(at + 4) !== 0;
    const nameEnd = at + ENTRY_BYTES + nameBytes;
    if (prefix === undefined || inOtherInode || nameEnd > area.length) return null;
    if (valueAt + valueBytes > area.length) return null;
    const name = prefix + area.toString('latin1', at + ENTRY_BYTES, nameEnd);
    found.push({ name, value: area.subarray(valueAt, valueAt + valueBytes) });
    at = Math.ceil(nameEnd / 4) * 4;
    // Entries are aligned within their area, which itself is.
  }
  return found;
}
