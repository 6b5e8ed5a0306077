// Where a file system ends. ext2/3/4 by dumpe2fs(8); others by blkid's tags, which newer versions give (util-linux 2.39),
// and else by the few bytes of the superblock that hold the size, named after each format's own documentation.
import { open } from 'node:fs/promises';
import { present, requireTool, runTool } from '../../base/mod.ts';
import { ext2Name, parseHeader } from './ext-header.ts';
import type { LocalView } from './local-view.ts';
import { isExt, type Probe } from './probe.ts';

interface SizeReader {
  readonly atBytes: number;
  readonly lengthBytes: number;
  /** Bytes from the start of the file system to its end, or null when the superblock does not tell. */
  read(superblock: DataView): number | null;
}

/** What NTFS may have; anything else is damage, and then nothing is known. */
const NTFS_SECTOR_BYTES: readonly number[] = [512, 1024, 2048, 4096];

const LITTLE = true;
const BIG = false;

const readers: Readonly<Record<string, SizeReader>> = {
  // xfs_sb (fs/xfs/libxfs/xfs_format.h): sb_blocksize, sb_dblocks. A log inside is part of the data section.
  xfs: {
    atBytes: 0,
    lengthBytes: 16,
    read: (block) => block.getUint32(4, BIG) * Number(block.getBigUint64(8, BIG)),
  },
  // btrfs_super_block: total_bytes at 0x70 is that of all its devices, so only num_devices (0x88) = 1 tells.
  btrfs: {
    atBytes: 65536,
    lengthBytes: 0x90,
    read: (block) => (block.getBigUint64(0x88, LITTLE) === 1n ? Number(block.getBigUint64(0x70, LITTLE)) : null),
  },
  // FAT: BPB_BytsPerSec, BPB_TotSec16 or, when that is 0, BPB_TotSec32.
  vfat: {
    atBytes: 0,
    lengthBytes: 64,
    read: (block) => block.getUint16(11, LITTLE) * (block.getUint16(19, LITTLE) || block.getUint32(32, LITTLE)),
  },
  // NTFS: bytes per sector, total sectors; the sector behind them is the copy of the boot sector (fs/ntfs3/ntfs.h, NTFS_BOOT).
  ntfs: {
    atBytes: 0,
    lengthBytes: 512,
    read: (block) => {
      const sectorBytes = block.getUint16(11, LITTLE);
      return NTFS_SECTOR_BYTES.includes(sectorBytes)
        ? sectorBytes * (Number(block.getBigUint64(0x28, LITTLE)) + 1)
        : null;
    },
  },
  // swap_header (include/linux/swap.h): version, last_page; only with the page size that the magic number's place shows.
  swap: {
    atBytes: 0,
    lengthBytes: 4096,
    read: (block) => {
      const magic = Buffer.from(block.buffer, block.byteOffset + 4086, 10).toString('latin1');
      if (magic !== 'SWAPSPACE2' || block.getUint32(1024, LITTLE) !== 1) return null;
      return (block.getUint32(1028, LITTLE) + 1) * 4096;
    },
  },
};

/** End of the file system that fills a source without a partition table; null when it cannot be known or is not credible. */
export async function fileSystemEnd(view: LocalView, found: Probe): Promise<number | null> {
  const end = await claimedEnd(view, found);
  return end !== null && Number.isSafeInteger(end) && end > 0 && end <= view.sizeBytes ? end : null;
}

async function claimedEnd(view: LocalView, found: Probe): Promise<number | null> {
  if (isExt(found.type)) {
    const tool = requireTool('dumpe2fs', 'e2fsprogs');
    const result = await runTool(tool, ['-h', ext2Name(view.path, 0)]);
    const header = result.status === 0 ? parseHeader(result.stdout) : null;
    return header && header.blockCount * header.blockBytes;
  }
  if (found.endBytes !== null) return found.endBytes;
  if (found.type === null || !Object.hasOwn(readers, found.type)) return null;
  const reader = present(readers[found.type], 'reader');
  const buffer = Buffer.alloc(reader.lengthBytes);
  const file = await open(view.path, 'r');
  try {
    const { bytesRead } = await file.read(buffer, 0, reader.lengthBytes, reader.atBytes);
    if (bytesRead < reader.lengthBytes) return null;
  } finally {
    await file.close();
  }
  return reader.read(new DataView(buffer.buffer, buffer.byteOffset, buffer.byteLength));
}
