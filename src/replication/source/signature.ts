// What makes bytes an image: a partition table or a file system. In process and quick, for members of containers and as the
// first look at a source; blkid(8) knows more, and is asked where this finds nothing (contents.ts).
import { hasAt, viewOf } from './magic.ts';

/** Bytes from the start that are looked at: btrfs and ReiserFS have their mark behind 64 KiB. */
export const SIGNATURE_BYTES = 128 * 1024;

/** Magic, offset, name. */
const MARKS: readonly (readonly [string | readonly number[], number, string])[] = [
  ['EFI PART', 512, 'GPT partition table'],
  ['EFI PART', 4096, 'GPT partition table'],
  [[0x53, 0xef], 1080, 'ext file system'],
  ['XFSB', 0, 'XFS'],
  ['_BHRfS_M', 0x10040, 'btrfs'],
  ['CD001', 0x8001, 'ISO 9660'],
  ['hsqs', 0, 'SquashFS'],
  ['LUKS\xba\xbe', 0, 'crypto_LUKS'],
  ['-FVE-FS-', 3, 'BitLocker'],
  ['LABELONE', 512, 'LVM'],
  ['LABELONE', 0, 'LVM'],
  ['SWAPSPACE2', 4086, 'swap'],
  [[0x10, 0x20, 0xf5, 0xf2], 1024, 'F2FS'],
  [[0xe2, 0xe1, 0xf5, 0xe0], 1024, 'EROFS'],
  ['NXSB', 32, 'APFS'],
  ['ReIsEr2Fs', 0x10034, 'ReiserFS'],
  ['ReIsErFs', 0x10034, 'ReiserFS'],
  ['JFS1', 0x8000, 'JFS'],
  [[0xfc, 0x4e, 0x2b, 0xa9], 4096, 'Linux RAID'],
  [[0xfc, 0x4e, 0x2b, 0xa9], 0, 'Linux RAID'],
  ['UBI#', 0, 'UBI'],
  [[0x45, 0x3d, 0xcd, 0x28], 0, 'cramfs'],
  ['-rom1fs-', 0, 'romfs'],
];

/** The partition table or file system that starts with these bytes, or null. Pure; bounded by SIGNATURE_BYTES. */
export function diskSignature(bytes: Uint8Array): string | null {
  const mark = MARKS.find(([magic, at]) => hasAt(bytes, magic, at));
  if (mark !== undefined) return mark[2];
  if (isAppleMap(bytes)) return 'Apple partition map';
  if (isHfs(bytes)) return 'HFS';
  if (bytes.byteLength < 512 || bytes[510] !== 0x55 || bytes[511] !== 0xaa) return null;
  return bootFileSystem(bytes) ?? (hasMbr(bytes) ? 'MBR partition table' : null);
}

/** Both the driver descriptor and the first entry of the map: two letters alone are met by chance. */
function isAppleMap(bytes: Uint8Array): boolean {
  return hasAt(bytes, 'ER') && (hasAt(bytes, 'PM\0\0', 512) || hasAt(bytes, 'PM\0\0', 2048));
}

/** Signature and version (TN1150). */
function isHfs(bytes: Uint8Array): boolean {
  return hasAt(bytes, 'H+\0\x04', 1024) || hasAt(bytes, 'HX\0\x05', 1024);
}

function bootFileSystem(bytes: Uint8Array): string | null {
  if (hasAt(bytes, 'NTFS    ', 3)) return 'NTFS';
  if (hasAt(bytes, 'EXFAT   ', 3)) return 'exFAT';
  const view = viewOf(bytes);
  const sector = view.getUint16(11, true);
  const cluster = bytes[13] ?? 0;
  const jump = bytes[0] === 0xe9 || (bytes[0] === 0xeb && bytes[2] === 0x90);
  const fat = jump && [512, 1024, 2048, 4096].includes(sector) && cluster > 0 && (cluster & (cluster - 1)) === 0;
  return fat && (bytes[16] === 1 || bytes[16] === 2) ? 'FAT' : null;
}

/** At least one partition, and nothing in the four entries that a table cannot hold. */
function hasMbr(bytes: Uint8Array): boolean {
  const view = viewOf(bytes);
  let partitions = 0;
  for (let at = 446; at < 510; at += 16) {
    const flag = bytes[at] ?? 0;
    if (flag !== 0 && flag !== 0x80) return false;
    const type = bytes[at + 4] ?? 0;
    const sectors = view.getUint32(at + 12, true);
    if (type !== 0 && sectors > 0) partitions += 1;
  }
  return partitions > 0;
}
