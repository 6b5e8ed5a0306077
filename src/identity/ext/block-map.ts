// Where the blocks of a file lie: extent trees (linux/Documentation/filesystems/ext4/ifork.rst) and the older lists of
// block numbers. One logical block is looked up at a time, from the root down, so that no tree can make this walk in a
// circle.

const EXTENT_MAGIC = 0xf30a;
const EXTENT_BYTES = 12;
/** EXT_MAX_DEPTH of the kernel. */
const DEPTH_MAX = 5;
/** Lengths above mean an extent that is allocated, but not written yet: it reads as zeros. */
const WRITTEN_MAX = 32768;
const DIRECT = 12;

/** Reads a block of the file system; it throws for numbers outside of it. */
export type ReadBlock = (block: number) => Buffer;
/** Throws: the image contradicts itself. */
export type Damaged = (why: string) => never;

/** Where a logical block lies, and how many after it lie behind it in order. */
export interface Run {
  /** 0: nowhere, it reads as zeros. */
  readonly block: number;
  /** At least 1. */
  readonly count: number;
}

const NOWHERE: Run = { block: 0, count: 1 };

export function extentRun(root: Buffer, logical: number, read: ReadBlock, damaged: Damaged): Run {
  let node = root;
  let depth = headerOf(root, damaged).depth;
  if (depth > DEPTH_MAX) damaged('an extent tree is too deep');
  for (;;) {
    const { count } = headerOf(node, damaged);
    const at = lastStart(node, count, logical);
    if (at === 0) return NOWHERE;
    if (depth === 0) return runInExtent(node, at, logical);
    const child = node.readUInt32LE(at + 4) + node.readUInt16LE(at + 8) * 2 ** 32;
    node = read(child);
    depth -= 1;
    // Every level is one nearer to the leaves, whatever the image says: so this ends.
    if (headerOf(node, damaged).depth !== depth) damaged('an extent tree has levels out of order');
  }
}

function headerOf(node: Buffer, damaged: Damaged): { count: number; depth: number } {
  const count = node.readUInt16LE(2);
  const isNode = node.readUInt16LE(0) === EXTENT_MAGIC && EXTENT_BYTES * (count + 1) <= node.length;
  return isNode ? { count, depth: node.readUInt16LE(6) } : damaged('an extent tree has a node that is none');
}

/**
 * Offset of the last entry that starts at or before a block, or 0. Entries are in order; in an image that lies, any
 * will do.
 */
function lastStart(node: Buffer, count: number, logical: number): number {
  let low = 0;
  let high = count;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (node.readUInt32LE(EXTENT_BYTES * (middle + 1)) <= logical) low = middle + 1;
    else high = middle;
  }
  return EXTENT_BYTES * low;
}

function runInExtent(node: Buffer, at: number, logical: number): Run {
  const start = node.readUInt32LE(at);
  const length = node.readUInt16LE(at + 4);
  if (length > WRITTEN_MAX || logical >= start + length) return NOWHERE;
  const block = node.readUInt16LE(at + 6) * 2 ** 32 + node.readUInt32LE(at + 8) + logical - start;
  return { block, count: start + length - logical };
}

/** The same for files of ext2 and ext3: twelve blocks, then blocks of block numbers, up to three levels of them. */
export function listedBlock(map: Buffer, logical: number, blockBytes: number, read: ReadBlock): number {
  if (logical < DIRECT) return map.readUInt32LE(4 * logical);
  const perBlock = blockBytes / 4;
  let rest = logical - DIRECT;
  for (let level = 1; level <= 3; level++) {
    const span = perBlock ** level;
    if (rest >= span) {
      rest -= span;
      continue;
    }
    let block = map.readUInt32LE(4 * (DIRECT + level - 1));
    for (let below = level - 1; below >= 0 && block !== 0; below--) {
      const index = Math.floor(rest / perBlock ** below) % perBlock;
      block = read(block).readUInt32LE(4 * index);
    }
    return block;
  }
  return 0;
}
