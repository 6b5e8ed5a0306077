// The boot sector of FAT12, FAT16 and FAT32: Microsoft's "FAT: General Overview of On-Disk Format" (fatgen103), and mkfs.fat(8). Its
// numbers are the image's own and are held against each other here, once.
export const BOOT_SECTOR_BYTES = 512;

const SIGNATURE = 0xaa55;
/** Says that a volume number and a label follow. */
const EXTENDED = 0x29;
const ENTRY_BYTES = 32;
/** Up to these counts of clusters, a FAT whose tables are counted in 16 bits has entries of 12 and of 16 bits; nothing else tells. */
const CLUSTERS_12 = 4085;
const CLUSTERS_16 = 65525;

export interface BootSector {
  /** As blkid(8) and fstab(5) write it: "1A2B-3C4D"; '' when there is none. */
  readonly uuid: string;
  readonly label: string;
  readonly entryBits: 12 | 16 | 32;
  readonly tableOffsetBytes: number;
  readonly tableBytes: number;
  /** Of FAT12 and FAT16, where the root folder has a place of its own. */
  readonly rootOffsetBytes: number;
  readonly rootBytes: number;
  /** Of FAT32; 0 otherwise. */
  readonly rootCluster: number;
  readonly dataOffsetBytes: number;
  readonly clusterBytes: number;
  /** They are numbered from 2 on. */
  readonly clusterCount: number;
  readonly sizeBytes: number;
}

/** @param bytes the first 512 of where a file system may begin. Null when it is no FAT, or one with impossible numbers */
export function parseBootSector(bytes: Buffer): BootSector | null {
  if (bytes.length < BOOT_SECTOR_BYTES || bytes.readUInt16LE(510) !== SIGNATURE) return null;
  const sectorBytes = bytes.readUInt16LE(11);
  const clusterSectors = bytes.readUInt8(13);
  const reserved = bytes.readUInt16LE(14);
  const tables = bytes.readUInt8(16);
  const rootBytes = bytes.readUInt16LE(17) * ENTRY_BYTES;
  const sectors = bytes.readUInt16LE(19) || bytes.readUInt32LE(32);
  const tableSectors = bytes.readUInt16LE(22) || bytes.readUInt32LE(36);
  const media = bytes.readUInt8(21);
  const sound =
    [512, 1024, 2048, 4096].includes(sectorBytes) &&
    isPowerOfTwo(clusterSectors) &&
    reserved > 0 &&
    (tables === 1 || tables === 2) &&
    (media === 0xf0 || media >= 0xf8) &&
    rootBytes % sectorBytes === 0 &&
    tableSectors > 0;
  if (!sound) return null;
  const dataSector = reserved + tables * tableSectors + rootBytes / sectorBytes;
  const clusterCount = Math.floor((sectors - dataSector) / clusterSectors);
  // As Linux has it: mkfs.fat makes FAT32 of any size.
  const isWide = bytes.readUInt16LE(22) === 0;
  const entryBits = isWide ? 32 : clusterCount < CLUSTERS_12 ? 12 : 16;
  const tableBytes = tableSectors * sectorBytes;
  const fits = ((clusterCount + 2) * entryBits) / 8 <= tableBytes;
  if (clusterCount < 1 || !fits || (!isWide && clusterCount >= CLUSTERS_16)) return null;
  const named = isWide ? 64 : 36;
  const has = bytes.readUInt8(named + 2) === EXTENDED;
  return {
    uuid: has ? serialOf(bytes.readUInt32LE(named + 3)) : '',
    label: has ? labelOf(bytes.toString('latin1', named + 7, named + 18)) : '',
    entryBits,
    tableOffsetBytes: reserved * sectorBytes,
    tableBytes,
    rootOffsetBytes: (reserved + tables * tableSectors) * sectorBytes,
    rootBytes,
    rootCluster: isWide ? bytes.readUInt32LE(44) : 0,
    dataOffsetBytes: dataSector * sectorBytes,
    clusterBytes: clusterSectors * sectorBytes,
    clusterCount,
    sizeBytes: sectors * sectorBytes,
  };
}

/** What says that there is none is none. */
function labelOf(text: string): string {
  return text === 'NO NAME    ' ? '' : text.trimEnd();
}

function serialOf(serial: number): string {
  const digits = serial.toString(16).toUpperCase().padStart(8, '0');
  return `${digits.slice(0, 4)}-${digits.slice(4)}`;
}

function isPowerOfTwo(value: number): boolean {
  return value > 0 && Number.isInteger(Math.log2(value));
}
